"""Carries what a command prints from a pipe to its file, and stops at a limit (R-252).

Used by ``session`` for commands in front and by ``background``. A pipe and not the file itself,
because a pipe holds the command back while we count: nothing beyond the limit is ever written, and
a command that reopens its own output does not cut off what it has printed before.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

MAX_OUTPUT_BYTES = 50 * 1024 * 1024
_READ_BYTES = 256 * 1024
_READS_AT_ONCE = 16
"""Then others have their turn."""


class Pump:
    """One pipe and one file.

    ``problem`` says why it takes no more: the limit is reached, or the disk is full; ``on_full`` is
    called then. What it has taken before is in the file at once.
    """

    def __init__(self, target: Path, on_data: Callable[[], None], limit: int) -> None:
        """Raises OSError. ``target`` must not exist."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.target = target
        self.problem = ""
        self.on_full: Callable[[], None] = _nothing
        self._limit = self._left = limit
        self._on_data = on_data
        self._file = os.open(target, flags, 0o600)
        try:
            self._reader, self.writer = os.pipe()
        except OSError:
            os.close(self._file)
            raise
        os.set_blocking(self._reader, False)
        asyncio.get_running_loop().add_reader(self._reader, self._read)

    @property
    def closed(self) -> bool:
        """Also by itself, when nobody is left who could write."""
        return self._reader < 0

    def release(self) -> None:
        """Our own end of the pipe: from now on it ends with the last of the command's processes."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def drain(self) -> None:
        """Takes what is in the pipe at this moment."""
        while self._open and self._take():
            pass

    def close(self) -> None:
        """Who still writes gets SIGPIPE. Safe to repeat."""
        self.release()
        if self._reader >= 0:
            asyncio.get_running_loop().remove_reader(self._reader)
            os.close(self._reader)
            os.close(self._file)
            self._reader = -1

    @property
    def _open(self) -> bool:
        return not (self.closed or self.problem)

    def _read(self) -> None:
        for _ in range(_READS_AT_ONCE):
            if not (self._open and self._take()):
                return

    def _take(self) -> bool:
        """Whether there may be more at once."""
        if self._left <= 0:
            self._stop(f"its output was over {_size(self._limit)}")
            return False
        try:
            data = os.read(self._reader, min(_READ_BYTES, self._left))
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        self._left -= len(data)
        self._on_data()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self._stop(f"its output could not be kept: {error.strerror}")
            return False
        return True

    def _stop(self, problem: str) -> None:
        """Reads no more; the pipe fills and holds the command until somebody ends it."""
        self.problem = problem
        asyncio.get_running_loop().remove_reader(self._reader)
        self.on_full()


def _size(count: int) -> str:
    return f"{count // 2**20} MB" if count >= 2**20 else f"{count} bytes"


def _nothing() -> None:
    """Nobody waits."""
