"""What a pattern consists of, as values; made by ``parse``, turned into a program by ``program``.

Captures do not exist: an engage pattern answers yes or no, so groups are only brackets.
"""

from dataclasses import dataclass
from enum import IntEnum

Range = tuple[int, int]
"""First and last code point."""


class Place(IntEnum):
    """A condition on a position; nothing is consumed."""

    START = 0
    END = 1
    WORD_EDGE = 2
    NO_WORD_EDGE = 3


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character out of the ranges, or one that is in none of them."""

    ranges: tuple[Range, ...]
    negated: bool = False

    def holds(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class At:
    place: Place


@dataclass(frozen=True, slots=True)
class Ahead:
    """What follows matches ``node``, or does not; nothing is consumed."""

    node: "Node"
    negated: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``high`` None: without end. Greedy or lazy makes no difference to yes or no."""

    node: "Node"
    low: int
    high: int | None


Node = OneOf | At | Ahead | Sequence | Choice | Repeat

DIGITS: tuple[Range, ...] = ((0x30, 0x39),)
WORD: tuple[Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACES: tuple[Range, ...] = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
LINE_ENDS: tuple[Range, ...] = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
HIGHEST = 0x10FFFF


def complement(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """All code points that are in none of the ranges."""
    gaps: list[Range] = []
    next_free = 0
    for low, high in sorted(ranges):
        if low > next_free:
            gaps.append((next_free, low - 1))
        next_free = max(next_free, high + 1)
    if next_free <= HIGHEST:
        gaps.append((next_free, HIGHEST))
    return tuple(gaps)
