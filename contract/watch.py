"""Tells when files in a folder change: inotify, or looking at file times where there is none.

Used by host loops and by the runner; one instance per process, because a user has only 128
(shared by all containers). A notification is a hint: events may be lost, doubled or forged by
whoever writes the folder, and no correctness depends on them.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntFlag
from itertools import islice
from pathlib import Path

POLLING_VARIABLE = "NANOCLAW_WATCH"
_READ_BYTES = 64 * 1024
_HEADER = struct.Struct("iIII")
MAX_POLLED_ENTRIES = 256
"""A hostile folder may hold millions of names; ours hold a handful."""
MIN_POLL_SECONDS = 0.02
MAX_POLL_SECONDS = 1.0


class Events(IntFlag):
    """The kernel's bits, as far as anybody here needs them."""

    CLOSE_WRITE = 0x0008
    MOVED_TO = 0x0080
    CREATE = 0x0100
    DELETE = 0x0200
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    DONT_FOLLOW = 0x0200_0000


CHANGED = Events.CLOSE_WRITE | Events.MOVED_TO
"""A file was written and closed, or renamed into place."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``wd`` is what ``add`` returned, -1 after an overflow: then look everywhere."""

    wd: int
    name: str
    mask: Events


class Watch:
    """What both kinds offer; ``Watch.open`` chooses."""

    mode: str

    @staticmethod
    def open(environment: Mapping[str, str] | None = None) -> "Watch":
        """inotify if there is one to be had and polling is not asked for by the environment."""
        chosen = os.environ if environment is None else environment
        if chosen.get(POLLING_VARIABLE) == "polling":
            return PollingWatch()
        try:
            return InotifyWatch()
        except OSError:
            return PollingWatch()

    def add(self, path: Path, events: Events = CHANGED) -> int:
        """Watches a folder; raises OSError when it is not there or watches have run out."""
        raise NotImplementedError

    def remove(self, wd: int) -> None:
        """Ends one watch; one that is gone already is no error."""
        raise NotImplementedError

    def fileno(self) -> int | None:
        """Readable when events wait; None: call ``read`` every ``poll_seconds``."""
        raise NotImplementedError

    @property
    def poll_seconds(self) -> float | None:
        """When to call ``read`` again without a descriptor; grows while nothing happens."""
        raise NotImplementedError

    def read(self) -> list[WatchEvent]:
        """What happened since the last call, each (folder, name) once; never waits."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class InotifyWatch(Watch):
    """One inotify instance."""

    mode = "inotify"

    def __init__(self, library: str | None = None) -> None:
        self._libc = ctypes.CDLL(library, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError(errno.ENOSYS, "no inotify on this system")
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, path: Path, events: Events = CHANGED) -> int:
        mask = ctypes.c_uint32(events | Events.DONT_FOLLOW)
        return self._checked(self._libc.inotify_add_watch(self._fd, os.fsencode(path), mask))

    def remove(self, wd: int) -> None:
        self._libc.inotify_rm_watch(self._fd, wd)

    def fileno(self) -> int | None:
        return self._fd

    @property
    def poll_seconds(self) -> float | None:
        return None

    def read(self) -> list[WatchEvent]:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return []
        return _parse_events(data)

    def close(self) -> None:
        os.close(self._fd)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def _parse_events(data: bytes) -> list[WatchEvent]:
    found: dict[tuple[int, str], WatchEvent] = {}
    position = 0
    while position < len(data):
        wd, mask, _cookie, length = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
        position += length
        if not mask & Events.IGNORED:
            found[wd, name] = WatchEvent(wd, name, Events(mask & 0xFFFF))
    return list(found.values())


_Stamp = tuple[int, int, int]


class PollingWatch(Watch):
    """Compares file times, sizes and inodes; slows down while nothing changes."""

    mode = "polling"

    def __init__(self) -> None:
        self._folders: dict[int, tuple[Path, dict[str, _Stamp]]] = {}
        self._next_wd = 1
        self._seconds = MIN_POLL_SECONDS

    def add(self, path: Path, events: Events = CHANGED) -> int:
        wd = self._next_wd
        self._next_wd += 1
        self._folders[wd] = (path, _stamps(path))
        return wd

    def remove(self, wd: int) -> None:
        self._folders.pop(wd, None)

    def fileno(self) -> int | None:
        return None

    @property
    def poll_seconds(self) -> float | None:
        return self._seconds

    def read(self) -> list[WatchEvent]:
        events: list[WatchEvent] = []
        for wd, (path, before) in self._folders.items():
            try:
                after = _stamps(path)
            except OSError:
                continue  # the folder is gone for now; its owner will notice by other means
            self._folders[wd] = (path, after)
            events += [
                WatchEvent(wd, name, Events.CLOSE_WRITE)
                for name, stamp in after.items()
                if before.get(name) != stamp
            ]
        self._seconds = MIN_POLL_SECONDS if events else min(self._seconds * 1.25, MAX_POLL_SECONDS)
        return events

    def close(self) -> None:
        self._folders.clear()


def _stamps(path: Path) -> dict[str, _Stamp]:
    stamps: dict[str, _Stamp] = {}
    with os.scandir(path) as entries:
        for entry in islice(entries, MAX_POLLED_ENTRIES):
            with suppress(FileNotFoundError):  # gone between listing and looking
                found = entry.stat(follow_symlinks=False)
                stamps[entry.name] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return stamps
