"""Which parts of a Markdown text are code, and which are comments. Pure.

Used for CLAUDE.md files: an import in code is an example, and a comment is for people (R-299,
R-302). Knows fenced blocks, code spans within a line and comments that begin a line; nothing else
of Markdown matters there. Work is linear in the length of the text.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_COMMENT_START = re.compile(r" {0,3}<!--")
_COMMENT_END = "-->"
_TICKS = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    is_code: bool


def prose_and_code(text: str) -> Iterator[Line]:
    """The lines, without comments that begin at the start of a line outside of code."""
    lines = text.split("\n")
    ends = _comment_ends(lines)
    fence = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        mark = _FENCE.fullmatch(line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
            yield Line(line, is_code=True)
        elif mark and not ("`" in mark[1] and "`" in mark[2]):
            fence = mark[1]
            yield Line(line, is_code=True)
        elif _COMMENT_START.match(line) and (end := ends[at - 1]) is not None:
            at = end + 1
            rest = lines[end].partition(_COMMENT_END)[2]
            if rest.strip():
                yield Line(rest, is_code=False)
        else:
            yield Line(line, is_code=False)


def _comment_ends(lines: Sequence[str]) -> list[int | None]:
    """For each line the first one from it on that ends a comment; None: there is none."""
    result: list[int | None] = [None] * len(lines)
    nearest: int | None = None
    for at in range(len(lines) - 1, -1, -1):
        if _COMMENT_END in lines[at]:
            nearest = at
        result[at] = nearest
    return result


def code_spans(line: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each stretch between two equally long runs of backticks."""
    runs = [(match.start(), match.end()) for match in _TICKS.finditer(line)]
    later: dict[int, list[int]] = {}
    for index in range(len(runs) - 1, -1, -1):
        later.setdefault(runs[index][1] - runs[index][0], []).append(index)
    spans: list[tuple[int, int]] = []
    index = 0
    while index < len(runs):
        start, end = runs[index]
        candidates = later[end - start]
        while candidates and candidates[-1] <= index:
            candidates.pop()
        if candidates:
            index = candidates[-1]
            spans.append((start, runs[index][1]))
        index += 1
    return tuple(spans)


def is_within(spans: Sequence[tuple[int, int]], position: int) -> bool:
    """``spans`` as ``code_spans`` gives them, in their order."""
    index = bisect_right(spans, (position, sys.maxsize)) - 1
    return index >= 0 and position < spans[index][1]
