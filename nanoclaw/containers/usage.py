"""How much disk an agent's folders take, counted without trusting them.

Called by the sweep on a worker thread while the agent runs: bind mounts have no quota (design
section 3). Walks by folder handles, follows no link, stays on one file system, counts a file with
several names once and holes not at all. An empty file counts as one block, so that a million of
them, which use up a disk too, meet the same limit. Ends after a bounded number of entries and a
bounded time, and rests in between, since the tree is the agent's.
"""

import heapq
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

MAX_ENTRIES = 4_000_000
MAX_SECONDS = 60.0
MAX_DEPTH = 64
BLOCK_BYTES = 512
LEAST_BYTES = 4096
"""What an entry counts at least."""
SLICE_ENTRIES = 1000
REST_SECONDS = 0.004
"""After each slice, so that the other threads of the process keep half of its time."""
MAX_PLACES = 1000
SHOWN_PLACES = 3
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskUse:
    """``complete`` False: there are more entries than we count; ``used_bytes`` is a lower bound."""

    used_bytes: int
    entries: int
    complete: bool
    places: tuple[tuple[str, int], ...] = ()
    """The largest names at the top of the folders, with what they take."""


@dataclass(slots=True)
class _Count:
    used_bytes: int = 0
    entries: int = 0
    complete: bool = True
    seen: set[tuple[int, int]] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def add(self, found: os.stat_result, place: str) -> None:
        self.entries += 1
        if self.entries % SLICE_ENTRIES == 0:
            time.sleep(REST_SECONDS)
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            key = (found.st_dev, found.st_ino)
            if key in self.seen:
                return
            self.seen.add(key)
        size = max(found.st_blocks * BLOCK_BYTES, LEAST_BYTES)
        self.used_bytes += size
        if place in self.places or len(self.places) < MAX_PLACES:
            self.places[place] = self.places.get(place, 0) + size

    def is_over(self, max_entries: int) -> bool:
        late = self.entries % SLICE_ENTRIES == 0 and time.monotonic() > self.deadline
        return self.entries >= max_entries or late


def measure(folders: tuple[Path, ...], max_entries: int = MAX_ENTRIES) -> DiskUse:
    """All folders together; one that is missing counts as empty."""
    count = _Count()
    for folder in folders:
        try:
            fd = os.open(folder, _FOLDER)
        except OSError:
            continue
        try:
            _walk(fd, count, max_entries, (folder.name,))
        finally:
            os.close(fd)
    largest = heapq.nlargest(SHOWN_PLACES, count.places.items(), key=lambda item: item[1])
    return DiskUse(count.used_bytes, count.entries, count.complete, tuple(largest))


def _walk(fd: int, count: _Count, max_entries: int, way: tuple[str, ...]) -> None:
    """``way``: the names from the folder down to here."""
    device = os.fstat(fd).st_dev
    subfolders: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if count.is_over(max_entries):
                count.complete = False
                return
            try:
                found = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            count.add(found, "/".join((*way, entry.name)[:2]))
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                subfolders.append(entry.name)
    if len(way) > MAX_DEPTH:
        count.complete = count.complete and not subfolders
        return
    for name in subfolders:
        try:
            below = os.open(name, _FOLDER, dir_fd=fd)
        except OSError:
            continue
        try:
            _walk(below, count, max_entries, (*way, name))
        finally:
            os.close(below)
