"""The end of a log file, and what has come since: bounded pieces with a place to go on from.

Used by ``logs`` and ``containers logs``; whoever follows asks again with the cursor. A file that
was renamed for a new one is read to its end first. Lines are text for a terminal: what could move
a cursor there is made visible. Files that agents write are reached by directory handles only.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_PIECE_BYTES = 512 * 1024
MAX_LINE = 4000
"""Characters; what is behind them is left out."""
OLDER = ".1"

Opener = Callable[[str], int]
"""Gives a descriptor for the log's name plus a suffix; raises OSError."""
Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class LogPiece:
    """``cursor`` is where the next piece begins; empty while there is no file."""

    lines: tuple[str, ...] = ()
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    inode: int
    offset: int

    def __str__(self) -> str:
        return f"{self.inode}:{self.offset}"


def path_opener(path: Path) -> Opener:
    """For files in folders of the host's own."""
    return lambda suffix: os.open(
        path.with_name(path.name + suffix), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    )


def folder_opener(folder_fd: int, folder: str, name: str) -> Opener:
    """For ``folder/name`` below a handle, where an agent could have put anything."""

    def opened(suffix: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner = os.open(folder, flags, dir_fd=folder_fd)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(name + suffix, flags, dir_fd=inner)
        finally:
            os.close(inner)

    return opened


def read_tail(open_log: Opener, count: int, wanted: Wanted | None = None) -> LogPiece:
    """The last ``count`` lines that are wanted, of the last 512 KiB."""
    with _opened(open_log, "") as found:
        if found is None:
            return LogPiece()
        fd, size, inode = found
        start = max(0, size - MAX_PIECE_BYTES)
        data = os.pread(fd, size - start, start)
        if start:
            data = data.partition(b"\n")[2]
        whole, _, rest = data.rpartition(b"\n")
        cursor = str(_Place(inode, size - len(rest)))
        lines = list(_lines(whole, wanted)) if whole else []
        return LogPiece(tuple(lines[len(lines) - min(count, len(lines)) :]), cursor)


def read_on(open_log: Opener, cursor: str, wanted: Wanted | None = None) -> LogPiece:
    """Whole lines behind the cursor; from the beginning of a file that the cursor does not know."""
    place = _parse(cursor)
    with _opened(open_log, "") as found:
        if found is None:
            return LogPiece((), cursor)
        inode = found[2]
        if place is None or place.inode == inode:
            return _piece(found, place.offset if place is not None else 0, wanted)
    with _opened(open_log, OLDER) as older:
        if older is not None and older[2] == place.inode:
            piece = _piece(older, place.offset, wanted)
            if piece.cursor != cursor:
                return piece
    return LogPiece((), str(_Place(inode, 0)))


def _piece(found: tuple[int, int, int], offset: int, wanted: Wanted | None) -> LogPiece:
    fd, size, inode = found
    if offset > size:  # cut off by somebody
        offset = 0
    data = os.pread(fd, MAX_PIECE_BYTES, offset)
    whole, newline, _ = data.rpartition(b"\n")
    if not newline:
        if len(data) < MAX_PIECE_BYTES:
            return LogPiece((), str(_Place(inode, offset)))
        whole = data
    end = offset + len(whole) + len(newline)
    return LogPiece(tuple(_lines(whole, wanted)) if whole else (), str(_Place(inode, end)))


@contextmanager
def _opened(open_log: Opener, suffix: str) -> Iterator[tuple[int, int, int] | None]:
    """Descriptor, size and inode of a plain file; None for anything else."""
    try:
        fd = open_log(suffix)
    except OSError:
        yield None
        return
    with closing(os.fdopen(fd, "rb", buffering=0)):
        found = os.fstat(fd)
        plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        yield (fd, found.st_size, found.st_ino) if plain else None


def _lines(data: bytes, wanted: Wanted | None) -> Iterator[str]:
    for raw in data.split(b"\n"):
        line = harmless(raw.decode("utf-8", "replace"))
        if wanted is None or wanted(line):
            yield line if len(line) <= MAX_LINE else line[:MAX_LINE] + "…"


def harmless(text: str) -> str:
    """One line without anything that a terminal would obey."""
    text = text.rstrip("\r")
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def _parse(cursor: str) -> _Place | None:
    inode, _, offset = cursor.partition(":")
    digits = inode.isascii() and inode.isdigit() and offset.isascii() and offset.isdigit()
    return _Place(int(inode), int(offset)) if digits and len(cursor) < 60 else None
