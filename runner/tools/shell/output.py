"""A command's output on disk, and what of it is shown (R-252)."""

from pathlib import Path

from runner.tools.shell.text import (
    HEAD_CHARACTERS,
    TAIL_CHARACTERS,
    Excerpt,
    shortened,
    whole_characters,
)

HEAD_BYTES = 4 * HEAD_CHARACTERS
TAIL_BYTES = 4 * TAIL_CHARACTERS


def read_output(path: Path, start: int = 0, *, growing: bool = False) -> tuple[str, int]:
    """Beginning and end of what stands after ``start``, and where to go on; of a file of any size
    never more than 120 kB are read. A ``growing`` file may end within a character."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            start = min(start, end)
            file.seek(start)
            size = end - start
            if size <= HEAD_BYTES + TAIL_BYTES:
                data = file.read(size)
                data = data[: whole_characters(data)] if growing else data
                return shortened(Excerpt(data, None, len(data)), str(path)), start + len(data)
            head = file.read(HEAD_BYTES)
            file.seek(end - TAIL_BYTES)
            tail = file.read(TAIL_BYTES)
    except OSError as error:
        return f"(the output cannot be read: {error.strerror})", start
    cut = len(tail) - whole_characters(tail) if growing else 0
    tail = tail[: len(tail) - cut]
    return shortened(Excerpt(head, tail, size - cut), str(path)), end - cut
