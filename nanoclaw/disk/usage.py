"""What takes space below the home: ``measure``. Called by ``nanoclaw disk``.

Counts what the disk really holds (blocks, not lengths, so that sparse files are no scare), looks
at names only, follows no link and opens nothing. Bounded: beyond ``MAX_ENTRIES`` the figures are
marked as incomplete.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.paths import HostPaths

MAX_ENTRIES = 2_000_000
BLOCK_BYTES = 512
ARCHIVE = ".tar.gz"
AGENT_HOME = "home"
FILES = "files"


@dataclass(slots=True)
class Part:
    """One line of the answer."""

    name: str
    bytes: int = 0
    files: int = 0


@dataclass(slots=True)
class Usage:
    """``groups`` are sessions by agent group, largest first; ``free`` is what the disk has left."""

    parts: list[Part]
    groups: list[Part]
    free: int
    complete: bool = True

    @property
    def total(self) -> int:
        return sum(part.bytes for part in self.parts)


@dataclass(slots=True)
class _Walk:
    left: int = MAX_ENTRIES
    parts: dict[str, Part] = field(default_factory=dict)
    groups: dict[str, Part] = field(default_factory=dict)

    def add(self, where: dict[str, Part], name: str, size: int) -> None:
        part = where.setdefault(name, Part(name))
        part.bytes += size
        part.files += 1


def measure(paths: HostPaths) -> Usage:
    """Raises nothing for what vanishes meanwhile."""
    walk = _Walk()
    for path, size in _files(paths.home, walk):
        parts = path.relative_to(paths.home).parts
        walk.add(walk.parts, kind_of(parts), size)
        if parts[:2] == ("data", "v2-sessions") and len(parts) > 2:
            walk.add(walk.groups, parts[2], size)
    stat = os.statvfs(paths.home)
    return Usage(
        _largest(walk.parts), _largest(walk.groups), stat.f_bavail * stat.f_frsize, walk.left > 0
    )


def kind_of(parts: tuple[str, ...]) -> str:
    """In which line a file below the home is counted."""
    if parts[0].startswith("before-restore-"):
        return "data of before a restore"
    if parts[0] != "data":
        return _BY_FOLDER.get(parts[0], "settings and the rest")
    if len(parts) < 3:
        return "search index" if parts[1].startswith("search.db") else _book(parts[1])
    if parts[1] == "v2-sessions":
        return _session_kind(parts[3:])
    return {"audit": "audit archives", "channels": "channels"}.get(parts[1], "database")


_BY_FOLDER = {
    "groups": "agents' folders", "logs": "logs", "backups": "backups", "runtime": "unpacked code",
    "extras": "extras", "run": "sockets and locks", "secrets": "secrets",
}  # fmt: skip


def _book(name: str) -> str:
    return "reserve" if name == "reserve" else "database"


def _session_kind(below: tuple[str, ...]) -> str:
    if below and below[0].endswith(ARCHIVE):
        return "closed sessions"
    if below and below[0] == AGENT_HOME:
        return "agents' homes"
    return "attachments" if FILES in below[1:3] else "sessions"


def _largest(parts: dict[str, Part]) -> list[Part]:
    return sorted(parts.values(), key=lambda part: (-part.bytes, part.name))


def _files(folder: Path, walk: _Walk) -> Iterator[tuple[Path, int]]:
    """Depth first without recursion, so that no depth of folders is too much."""
    waiting = [folder]
    while waiting and walk.left > 0:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = list(found)
        except OSError:
            continue  # gone, or not ours to read
        for entry in entries:
            walk.left -= 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(here / entry.name)
                    continue
                size = entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
            except OSError:
                continue
            yield here / entry.name, size
