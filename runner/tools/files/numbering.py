"""Lines of a file with their numbers, bounded in every direction (R-253).

Reads line by line and keeps only what is shown, so that a file of any size, or one that is a single
line, costs no more memory than another.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from runner.tools.files.opening import FileProblemError

MAX_LINES = 2000
MAX_CHARACTERS = 60_000
MAX_LINE = 2000
MAX_SCANNED_BYTES = 256 * 1024 * 1024
"""How far a file is read in order to count its lines."""
_PIECE = 64 * 1024
_KEPT = 4 * MAX_LINE + 4


@dataclass(frozen=True, slots=True)
class Window:
    """``first`` counts from 1."""

    first: int = 1
    count: int = MAX_LINES


@dataclass(slots=True)
class _Page:
    shown: list[str]
    left: int
    invalid: bool = False

    def add(self, number: int, line: bytes) -> bool:
        """Whether there was room for it."""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("utf-8", "replace")
            self.invalid = self.invalid or len(text) <= MAX_LINE
        if number == 1:
            text = text.removeprefix("\ufeff")
        text = text if len(text) <= MAX_LINE else text[:MAX_LINE] + " [line cut]"
        self.left -= len(text) + 8
        if self.left >= 0:
            self.shown.append(f"{number:>6}\t{text}")
        return self.left >= 0


def numbered(file: BinaryIO, window: Window) -> str:
    """From the file's beginning. Raises FileProblemError when it has no such line."""
    page = _Page([], MAX_CHARACTERS)
    total, full = 0, False
    for total, line in enumerate(_lines(file), start=1):
        wanted = window.first <= total < window.first + window.count
        if wanted and not full:
            full = not page.add(total, line)
    all_read = not file.read(1)
    if not total:
        return "(the file is empty)"
    if window.first > total:
        raise FileProblemError(f"the file has only {total} lines")
    last = window.first + len(page.shown) - 1
    if page.invalid:
        page.shown.append("[what is no UTF-8 text is shown as \ufffd]")
    if last < total or not all_read:
        more = "" if all_read else "more than "
        page.shown.append(
            f"[lines {window.first} to {last} of {more}{total}; go on with offset {last + 1}]"
        )
    return "\n".join(page.shown)


def utf16_as_utf8(data: bytes) -> bytes:
    """By its byte order mark."""
    return data.decode("utf-16", "replace").encode("utf-8", "replace")


def is_utf16(head: bytes) -> bool:
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Without their ends; of a long one only the beginning."""
    scanned = 0
    while scanned < MAX_SCANNED_BYTES and (piece := file.readline(_PIECE)):
        scanned += len(piece)
        start = piece
        while not piece.endswith(b"\n") and scanned < MAX_SCANNED_BYTES:
            piece = file.readline(_PIECE)
            if not piece:
                break
            scanned += len(piece)
        yield start[:_KEPT] if len(start) > _KEPT else start.removesuffix(b"\n").removesuffix(b"\r")
