"""Asks the kernel whether anybody holds a lock on an SQLite file, without taking one.

Used by ``health``: a container can hold a read lock on its ``inbound.db`` and so keep the host from
writing (design section 3). Only for files that this process does not have open through SQLite at
the same moment, since closing any handle of a file drops the process's own locks on it.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path

_PENDING_BYTE = 0x40000000
_LOCK_BYTES = 512
"""PENDING, RESERVED and the shared range, as SQLite lays them out."""
_FLOCK = struct.Struct("@hhqqi0q")
"""``struct flock`` of Linux: type, whence, start, length, pid."""


def is_locked(path: Path) -> bool:
    """False where the system cannot say, and for a file that is not there."""
    if sys.platform != "linux":
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, 0, _PENDING_BYTE, _LOCK_BYTES, 0)
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, wanted)
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)
