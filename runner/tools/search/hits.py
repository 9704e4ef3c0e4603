"""What a regular expression finds in one text, as ripgrep would print it. Pure.

Part of the search without ripgrep. Lines end with a line feed.
"""

import bisect
import codecs
import re
from collections.abc import Iterator

from runner.tools.search.request import Mode, Search

MAX_COLUMNS = 500
GAP = "--"
"""Stands where lines are left out between two hits."""
CUT = " [... omitted end of long line]"


def compiled(search: Search) -> re.Pattern[str]:
    """Raises re.error, and OverflowError or RecursionError for monsters."""
    flags = re.MULTILINE
    flags |= re.IGNORECASE if search.ignore_case else 0
    flags |= re.DOTALL if search.multiline else 0
    return re.compile(search.pattern or "", flags)


def text_of(data: bytes) -> str | None:
    """None for what is no text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return None if b"\0" in data else data.decode("utf-8", "replace").removeprefix("\ufeff")


def lines_found(text: str, pattern: re.Pattern[str], search: Search) -> list[str]:
    """Empty when nothing was found; one empty line in the mode that only names files."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if search.multiline:
        numbers = _spanned(text, lines, pattern)
    else:
        numbers = [number for number, line in enumerate(lines) if pattern.search(line)]
    if not numbers:
        return []
    match search.mode:
        case Mode.FILES:
            return [""]
        case Mode.COUNT:
            return [str(len(numbers))]
        case _:
            return list(_shown(lines, numbers, search.context))


def _spanned(text: str, lines: list[str], pattern: re.Pattern[str]) -> list[int]:
    """Numbers of all lines that a match touches."""
    starts, place = [], 0
    for line in lines:
        starts.append(place)
        place += len(line) + 1
    found: set[int] = set()
    for hit in pattern.finditer(text):
        if hit.start() >= place:
            break
        first = bisect.bisect_right(starts, hit.start()) - 1
        last = bisect.bisect_right(starts, max(hit.end() - 1, hit.start())) - 1
        found.update(range(max(first, 0), max(last, 0) + 1))
    return sorted(number for number in found if number < len(lines))


def _shown(lines: list[str], numbers: list[int], context: int) -> Iterator[str]:
    """``12:a hit``, ``13-what follows``, and GAP where lines are left out."""
    hits, last = set(numbers), -1
    for number in sorted(
        {
            near
            for hit in numbers
            for near in range(max(hit - context, 0), min(hit + context + 1, len(lines)))
        }
    ):
        if context and 0 <= last < number - 1:
            yield GAP
        last = number
        line = lines[number]
        cut = line if len(line) <= MAX_COLUMNS else line[:MAX_COLUMNS] + CUT
        yield f"{number + 1}{':' if number in hits else '-'}{cut}"
