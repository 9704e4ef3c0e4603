"""How much disk an agent's folders take, counted without trusting them.

Called by the sweep on a worker thread while the agent runs: bind mounts have no quota (design
section 3). Walks by folder handles, follows no link, stays on one file system, counts a file with
several names once, and stops after a bounded number of entries, since the tree is the agent's.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

MAX_ENTRIES = 200_000
MAX_DEPTH = 64
BLOCK_BYTES = 512
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskUse:
    """``complete`` False: there are more entries than we count; ``used_bytes`` is a lower bound."""

    used_bytes: int
    entries: int
    complete: bool


@dataclass(slots=True)
class _Count:
    used_bytes: int = 0
    entries: int = 0
    complete: bool = True
    seen: set[tuple[int, int]] = field(default_factory=set)

    def add(self, found: os.stat_result) -> None:
        self.entries += 1
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            key = (found.st_dev, found.st_ino)
            if key in self.seen:
                return
            self.seen.add(key)
        self.used_bytes += found.st_blocks * BLOCK_BYTES


def measure(folders: tuple[Path, ...], max_entries: int = MAX_ENTRIES) -> DiskUse:
    """All folders together; one that is missing counts as empty."""
    count = _Count()
    for folder in folders:
        try:
            fd = os.open(folder, _FOLDER)
        except OSError:
            continue
        try:
            _walk(fd, count, max_entries, MAX_DEPTH)
        finally:
            os.close(fd)
    return DiskUse(count.used_bytes, count.entries, count.complete)


def _walk(fd: int, count: _Count, max_entries: int, depth: int) -> None:
    device = os.fstat(fd).st_dev
    subfolders: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if count.entries >= max_entries:
                count.complete = False
                return
            try:
                found = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            count.add(found)
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                subfolders.append(entry.name)
    if depth == 0:
        count.complete = count.complete and not subfolders
        return
    for name in subfolders:
        try:
            below = os.open(name, _FOLDER, dir_fd=fd)
        except OSError:
            continue
        try:
            _walk(below, count, max_entries, depth - 1)
        finally:
            os.close(below)
