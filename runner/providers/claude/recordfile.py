"""The file of one conversation: opened with a lock, appended to, cut at a broken end.

Called by the conversation only. One ``write`` per record, so that a kill leaves at most the last
line incomplete. When a write fails, nothing of it stays and the file takes no more: a turn whose
records cannot be stored must not go on (R-296). The agent runs as the same user, so a file that is
no regular file is refused instead of followed or waited for (R-324).
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from runner.providers.claude.records import LockedError, StorageError, UnusableError

LOCK_POLL_SECONDS = 0.05
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RecordFile:
    """Holds descriptor and lock until ``close``."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._broken = False

    @classmethod
    def create(cls, path: Path) -> "RecordFile":
        """Raises StorageError, also when the name is taken."""
        try:
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(f"{path.name} cannot be created: {error.strerror}") from error
        return cls(path, fd)

    @classmethod
    def open(cls, path: Path, lock_seconds: float) -> "RecordFile":
        """Raises UnusableError (missing, no file), LockedError, StorageError (read-only)."""
        try:
            fd = os.open(path, _FLAGS)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise StorageError(f"{path.name} cannot be written: {error.strerror}") from error
            raise UnusableError(f"{path.name} cannot be opened: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UnusableError(f"{path.name} is no regular file")
            _lock(fd, path, lock_seconds)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    @property
    def size(self) -> int:
        return self._size

    def read_from(self, offset: int, length: int | None = None) -> bytes:
        """Raises UnusableError when the disk does not give it back."""
        wanted = self._size - offset if length is None else length
        pieces = []
        try:
            while wanted > 0 and (piece := os.pread(self._fd, wanted, offset)):
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
        except OSError as error:
            raise UnusableError(f"{self.path.name} cannot be read: {error.strerror}") from error
        return b"".join(pieces)

    def append(self, line: bytes, *, sync: bool) -> int:
        """Where the line begins. Raises StorageError, and from then on always."""
        if self._broken:
            raise StorageError(f"{self.path.name} could not be written before")
        offset = self._size
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(self._fd)
        except OSError as error:
            self._broken = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, offset)
            raise StorageError(f"{self.path.name} cannot be written: {error.strerror}") from error
        self._size += len(line)
        return offset

    def cut(self, size: int) -> None:
        """Forgets everything behind; for an incomplete last line."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise StorageError(f"{self.path.name} cannot be cut: {error.strerror}") from error
        self._size = size

    def sync_folder(self) -> None:
        """Makes the file's name durable; once, after the first record."""
        try:
            fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"{self.path.parent.name} cannot be stored: {error}") from error

    def close(self) -> None:
        """Releases the lock. Safe to repeat."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._broken = True


def _lock(fd: int, path: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"conversation {path.stem} is held by another process for over {seconds:g} s"
                ) from error
        time.sleep(LOCK_POLL_SECONDS)
    try:
        ours = os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
    except OSError:
        ours = False
    if not ours:
        raise UnusableError(f"{path.name} was replaced while we waited for it")
