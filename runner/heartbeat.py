"""The file whose age tells the host whether a turn is alive.

Touched once at start and then by a timer that runs only while a turn is in progress (R-97): an
idle runner must grow old, so that the host may stop it, and a model that is silent for a minute
must not. A turn without any sign of life for half an hour is left to the host.
"""

import asyncio
import contextlib
import os
from pathlib import Path

SILENCE_SECONDS = 1800.0
"""After this long without an event nothing is touched any more; the host's ceiling is the same."""


class Heartbeat:
    """All errors are ignored: a missing sign of life is the host's to judge (R-61)."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = max(seconds, 0.05)
        self._timer: asyncio.TimerHandle | None = None
        self._last_sign = 0.0

    @property
    def running(self) -> bool:
        return self._timer is not None

    def touch(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            fd = os.open(self._path, flags, 0o644)
            try:
                os.utime(fd)
            finally:
                os.close(fd)

    def begin(self) -> None:
        """A turn starts or goes on; harmless when it is running already."""
        self.note_sign()
        if self._timer is None:
            self._beat()

    def note_sign(self) -> None:
        """The provider did something (R-190, ``activity``)."""
        self._last_sign = asyncio.get_running_loop().time()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._last_sign < SILENCE_SECONDS:
            self.touch()
        self._timer = loop.call_later(self._seconds, self._beat)
