"""What a server writes to its standard error: into the log, with a limit.

Used by ``stdio``. A line gets the logger of its server, so that the log shows where it is from. A
server that never stops writing is read slowly, so that it waits and not we; its last lines are
kept, because they usually say why it ended.
"""

import asyncio
import logging
import re
import time
from collections import deque

MAX_LINE = 1000
LINES_PER_WINDOW = 100
WINDOW_SECONDS = 10.0
SLOW_READ_SECONDS = 0.05
_CHUNK = 16 * 1024
_KEPT_LINES = 5
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class ErrorOutput:
    """``read`` runs until the stream ends; ``last_words`` may be asked at any time."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._window_until = 0.0
        self._in_window = 0

    @property
    def last_words(self) -> str:
        """The line that most likely says what went wrong."""
        return next((line for line in reversed(self._last) if line), "")

    async def read(self, stream: asyncio.StreamReader) -> None:
        pending = b""
        while chunk := await stream.read(_CHUNK):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._take(line)
            if len(pending) > MAX_LINE:
                self._take(pending)
                pending = b""
            if self._in_window > LINES_PER_WINDOW:
                await asyncio.sleep(SLOW_READ_SECONDS)
        if pending:
            self._take(pending)

    def _take(self, raw: bytes) -> None:
        line = _CONTROL.sub("", raw[: 4 * MAX_LINE].decode("utf-8", "replace")).strip()[:MAX_LINE]
        if not line:
            return
        self._last.append(line)
        now = time.monotonic()
        if now >= self._window_until:
            self._window_until = now + WINDOW_SECONDS
            self._in_window = 0
        self._in_window += 1
        if self._in_window <= LINES_PER_WINDOW:
            self._logger.info("says: %s", line)
        elif self._in_window == LINES_PER_WINDOW + 1:
            self._logger.warning("writes too much to standard error; lines are left out")
