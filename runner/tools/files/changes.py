"""Changes to a text, and what of the result is shown (R-254). Pure.

Lines end with a line feed, as for everybody else who counts them; what stands before it stays as it
is. Text that is put into a file takes over the line endings of the place that it comes to.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from runner.tools.files.opening import FileProblemError

AROUND = 3
MAX_SHOWN_LINES = 60
MAX_SHOWN_LINE = 300
MAX_PLACES = 20
MAX_CHARACTERS = 32 * 1024 * 1024
_NUMBERED = re.compile(r" *\d+\t")


@dataclass(frozen=True, slots=True)
class Change:
    """``shown`` is the changed region with line numbers, of the first of ``count`` places."""

    text: str
    shown: str
    count: int = 1


def edited(text: str, old: str, new: str, *, everywhere: bool) -> Change:
    """Raises FileProblemError unless ``old`` occurs as often as it must."""
    if not old:
        raise FileProblemError("old_text is empty")
    pattern = _pattern(text, old)
    count = sum(1 for _ in pattern.finditer(text))
    if count == 0:
        hint = "; leave out the line numbers" if _NUMBERED.match(old) else ""
        raise FileProblemError(f"old_text does not occur in the file{hint or '; read it again'}")
    if count > 1 and not everywhere:
        lines = ", ".join(
            str(line) for line in itertools.islice(_lines_of(text, pattern), MAX_PLACES)
        )
        more = ", ..." if count > MAX_PLACES else ""
        raise FileProblemError(
            f"old_text occurs {count} times (lines {lines}{more}); give more of the text around "
            "it, or set replace_all"
        )
    if len(text) + count * (len(new) + new.count("\n") - len(old)) > MAX_CHARACTERS:
        raise FileProblemError("the file would become too large; use the shell")
    usual = _ending_of(text)
    result = pattern.sub(lambda found: _fitted(new, found[0], usual), text)
    if result == text:
        raise FileProblemError("old_text and new_text are the same")
    first = next(pattern.finditer(text))
    end = first.start() + len(_fitted(new, first[0], usual))
    return Change(result, region(result, first.start(), end), count)


def inserted(text: str, line: int, new: str) -> Change:
    """After that line; 0 is the top. Raises FileProblemError."""
    lines = split_lines(text)
    if line > len(lines):
        raise FileProblemError(f"the file has only {len(lines)} lines")
    ending = _ending_of(text)
    block = new.replace("\r\n", "\n").replace("\n", ending)
    before, after = "".join(lines[:line]), "".join(lines[line:])
    if not block.endswith("\n"):
        block += ending
    if before and not before.endswith("\n"):  # the last line has no end, and there is to be none
        before, block = before + ending, block.removesuffix(ending)
    result = before + block + after
    return Change(result, region(result, len(before), len(before) + len(block)))


def split_lines(text: str) -> list[str]:
    """With their ends. Line feeds only: ``splitlines`` knows nine more ends of lines."""
    lines = text.split("\n")
    kept = [f"{line}\n" for line in lines[:-1]]
    return [*kept, lines[-1]] if lines[-1] else kept


def region(text: str, start: int, end: int) -> str:
    """The lines of ``text`` from one place to another and some around them, numbered."""
    first = max(text.count("\n", 0, start) - AROUND, 0)
    place = 0
    for _ in range(first):
        place = text.index("\n", place) + 1
    most = min(text.count("\n", start, end) + 2 * AROUND + 1, MAX_SHOWN_LINES)
    shown: list[str] = []
    while len(shown) < most and place < len(text):
        stop = text.find("\n", place)
        stop = len(text) if stop < 0 else stop
        line = text[place : min(stop, place + MAX_SHOWN_LINE)].removesuffix("\r")
        shown.append(f"{first + len(shown) + 1:>6}\t{line}")
        place = stop + 1
    return "\n".join(shown) or "(the file is empty)"


def _pattern(text: str, old: str) -> re.Pattern[str]:
    """In a file that has both ends of lines, or only the longer one, either stands for either."""
    if "\r\n" not in text:
        return re.compile(re.escape(old))
    return re.compile(r"\r?\n".join(map(re.escape, old.replace("\r\n", "\n").split("\n"))))


def _fitted(new: str, found: str, usual: str) -> str:
    """With the ends of lines of what it replaces; the usual ones where that has none."""
    if usual == "\n" and "\r\n" not in found:
        return new
    ending = "\r\n" if "\r\n" in found else "\n" if "\n" in found else usual
    return new.replace("\r\n", "\n").replace("\n", ending)


def _ending_of(text: str) -> str:
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _lines_of(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    line, place = 1, 0
    for found in pattern.finditer(text):
        line += text.count("\n", place, found.start())
        place = found.start()
        yield line
