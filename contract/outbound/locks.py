"""SQLite's byte-range locks as its Unix layer takes them, for a reader that never waits.

On Linux the locks belong to the open file (OFD), so that closing another descriptor of the same
file in this process cannot drop them; they conflict with SQLite's ordinary locks all the same.
Elsewhere ordinary locks are used, which is safe because the host opens the file here only.
"""

import errno
import fcntl
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contract.errors import SnapshotBusy

_PENDING_BYTE = 0x40000000
_RESERVED_BYTE = _PENDING_BYTE + 1
_SHARED_FIRST = _PENDING_BYTE + 2
_SHARED_SIZE = 510
_FLOCK = struct.Struct("@hhqqi0q")
"""``struct flock`` of Linux: type, whence, start, length, pid."""
_HELD_BY_OTHERS = frozenset({errno.EAGAIN, errno.EACCES})


@contextmanager
def shared_lock(fd: int) -> Iterator[None]:
    """SHARED for the length of the block; raises SnapshotBusy while a writer is committing."""
    if not _take(fd, _PENDING_BYTE, 1):
        raise SnapshotBusy("a writer waits for its readers")
    try:
        taken = _take(fd, _SHARED_FIRST, _SHARED_SIZE)
    finally:
        _drop(fd, _PENDING_BYTE, 1)
    if not taken:
        raise SnapshotBusy("a writer is committing")
    try:
        yield
    finally:
        _drop(fd, _SHARED_FIRST, _SHARED_SIZE)


def is_reserved(fd: int) -> bool:
    """Whether a live writer has begun a transaction and has not yet committed."""
    return _is_reserved(fd)


def take_ofd(fd: int, start: int, length: int) -> bool:
    """A read lock that belongs to the open file; False when a writer is in the way."""
    return _attempt(lambda: _ofd(fd, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, (start, length)))


def drop_ofd(fd: int, start: int, length: int) -> None:
    _ofd(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, (start, length))


def is_reserved_ofd(fd: int) -> bool:
    """Asks the kernel, without touching the lock."""
    answer = _ofd(fd, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, (_RESERVED_BYTE, 1))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def take_posix(fd: int, start: int, length: int) -> bool:
    """The same with a lock that belongs to the process."""
    return _attempt(lambda: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, length, start))


def drop_posix(fd: int, start: int, length: int) -> None:
    fcntl.lockf(fd, fcntl.LOCK_UN, length, start)


def is_reserved_posix(fd: int) -> bool:
    """Tries the lock for a moment: asking needs a structure that differs per system."""
    if not take_posix(fd, _RESERVED_BYTE, 1):
        return True
    drop_posix(fd, _RESERVED_BYTE, 1)
    return False


def _ofd(fd: int, command: int, kind: int, span: tuple[int, int]) -> bytes:
    return fcntl.fcntl(fd, command, _FLOCK.pack(kind, 0, *span, 0))


def _attempt(lock: Callable[[], object]) -> bool:
    try:
        lock()
    except OSError as error:
        if error.errno in _HELD_BY_OTHERS:
            return False
        raise
    return True


_OFD = sys.platform == "linux"
_take = take_ofd if _OFD else take_posix
_drop = drop_ofd if _OFD else drop_posix
_is_reserved = is_reserved_ofd if _OFD else is_reserved_posix
