"""A command's output on disk, and what of it is shown (R-252)."""

from pathlib import Path

from runner.tools.shell.text import HEAD_CHARACTERS, TAIL_CHARACTERS, shortened

WHOLE_BYTES = 4 * (HEAD_CHARACTERS + TAIL_CHARACTERS)


def read_output(path: Path) -> str:
    """Beginning and end of a file of any size; never more than a few hundred kilobytes."""
    try:
        with path.open("rb") as file:
            head = file.read(WHOLE_BYTES)
            size = file.seek(0, 2)
            if size <= WHOLE_BYTES:
                return shortened(head, None, size, str(path))
            file.seek(max(size - 4 * TAIL_CHARACTERS, 0))
            return shortened(head, file.read(4 * TAIL_CHARACTERS), size, str(path))
    except OSError as error:
        return f"(the output cannot be read: {error})"


def read_since(path: Path, offset: int) -> tuple[str, int]:
    """What was written after ``offset``, shortened, and where to go on."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(min(offset, size))
            data = file.read(WHOLE_BYTES)
    except OSError as error:
        return f"(the output cannot be read: {error})", offset
    return shortened(data, None, size, str(path)), min(offset, size) + len(data)
