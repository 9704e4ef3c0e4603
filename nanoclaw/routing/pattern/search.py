"""Looks for a pattern in a text, in time that grows with the text and never explodes (W-14).

Pure. All possible ways through the program are followed at once, one character after the other,
and what a set of ways leads to is remembered, so a hostile text costs hardly more than a friendly
one. The work for one text is counted and limited as well; over the limit the pattern counts as
not found, because the text is a stranger's. An unreadable pattern counts as found, so that its
administrator notices (H-78). Used by ``routing.engage``.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from nanoclaw.routing.pattern.parse import IGNORE_CASE, BadPattern, parse_pattern
from nanoclaw.routing.pattern.program import (
    Check,
    Fork,
    Found,
    Look,
    Program,
    Read,
    compile_tree,
)
from nanoclaw.routing.pattern.tree import WORD, Place

MAX_TEXT = 4000
"""Characters of a message that are looked at; whoever is meant is named at its beginning."""
MAX_WORK = 100_000
"""Steps for one text: well below 50 ms."""
MAX_REMEMBERED = 4096
"""Per pattern; a few hundred kilobytes at most."""

Ways = frozenset[int]


class Finding(Enum):
    FOUND = "found"
    NOT_FOUND = "not found"
    UNREADABLE = "the pattern is not readable"
    TOO_MUCH = "the pattern takes too long on this text"


class _TooMuchWorkError(Exception):
    """The limit of work for one text is reached."""


def search(pattern: str, text: str) -> Finding:
    """Whether the pattern matches anywhere in the first part of the text; case counts."""
    machine = _machine(pattern)
    return Finding.UNREADABLE if isinstance(machine, BadPattern) else machine.search(text)


def problem_of(pattern: str) -> str | None:
    """Why a pattern cannot be used, for whoever is about to store it; None when it can."""
    machine = _machine(pattern)
    return str(machine) if isinstance(machine, BadPattern) else None


@lru_cache(maxsize=256)
def _machine(pattern: str) -> "_Machine | BadPattern":
    """The pattern's text says all there is to know about it, so it may be remembered."""
    ignore_case = pattern.startswith(IGNORE_CASE)
    try:
        program = compile_tree(parse_pattern(pattern.removeprefix(IGNORE_CASE)))
    except BadPattern as problem:
        return problem
    return _Machine(program, ignore_case=ignore_case)


_WORD = frozenset(chr(code) for low, high in WORD for code in range(low, high + 1))
_OTHER, _LETTER, _EDGE = 0, 1, 2
"""What stands beside a position: a character of words or another one, or the text ends there."""


@dataclass(frozen=True, slots=True)
class _Closed:
    """Steps that wait for a character; ``found``: one way has come to its end."""

    ways: Ways
    found: bool


class _Text:
    """A text with the kind of each neighbour; ``kinds[i]`` stands before position ``i``."""

    __slots__ = ("kinds", "letters")

    def __init__(self, letters: str) -> None:
        self.letters = letters
        kinds = [_LETTER if letter in _WORD else _OTHER for letter in letters]
        self.kinds = [_EDGE, *kinds, _EDGE]

    def is_at(self, place: Place, position: int) -> bool:
        before, behind = self.kinds[position], self.kinds[position + 1]
        if place is Place.START:
            return before == _EDGE
        if place is Place.END:
            return behind == _EDGE
        edge = (before == _LETTER) is not (behind == _LETTER)
        return edge is (place is Place.WORD_EDGE)


class _Machine:
    def __init__(self, program: Program, *, ignore_case: bool) -> None:
        self._steps = program.steps
        self._begin = frozenset((program.begin,))
        self._looks_ahead = program.looks_ahead
        self._ignore_case = ignore_case
        self._closed: dict[tuple[Ways, int, int], _Closed] = {}
        self._moved: dict[tuple[Ways, str], Ways] = {}
        self._work = 0

    def search(self, letters: str) -> Finding:
        self._work = 0
        text = _Text(letters[:MAX_TEXT])
        try:
            found = self._run(text, 0, self._begin, anywhere=True)
        except _TooMuchWorkError:
            return Finding.TOO_MUCH
        return Finding.FOUND if found else Finding.NOT_FOUND

    def _run(self, text: _Text, first: int, begin: Ways, *, anywhere: bool) -> bool:
        ways = begin
        kinds, closed_sets, moved_sets = text.kinds, self._closed, self._moved
        for position in range(first, len(text.letters) + 1):
            closed = closed_sets.get((ways, kinds[position], kinds[position + 1]))
            if closed is None:
                closed = self._follow(text, position, ways)
            if closed.found:
                return True
            if position == len(text.letters):
                return False
            letter = text.letters[position]
            moved = moved_sets.get((closed.ways, letter))
            if moved is None:
                moved = self._move(closed.ways, letter)
            if not moved and not anywhere:
                return False
            ways = moved | begin if anywhere and moved else moved or begin
        return False

    def _move(self, ways: Ways, letter: str) -> Ways:
        """The ways that go on with this character."""
        self._count(len(ways))
        codes = {ord(letter)}
        if self._ignore_case:
            codes |= {ord(form) for form in (letter.lower(), letter.upper()) if len(form) == 1}
        moved: set[int] = set()
        for way in ways:
            step = self._steps[way]
            if isinstance(step, Read) and any(step.allowed.holds(code) for code in codes):
                moved.add(step.after)
        if len(self._moved) >= MAX_REMEMBERED:
            self._moved.clear()
        result = frozenset(moved)
        self._moved[ways, letter] = result
        return result

    def _follow(self, text: _Text, position: int, ways: Ways) -> _Closed:
        """All steps that can be reached without taking a character."""
        reached: set[int] = set()
        waiting = list(ways)
        while waiting:
            way = waiting.pop()
            if way not in reached:
                self._count(1)
                reached.add(way)
                waiting += self._after(text, position, way)
        steps = self._steps
        closed = _Closed(
            frozenset(way for way in reached if isinstance(steps[way], Read)),
            any(isinstance(steps[way], Found) for way in reached),
        )
        if not self._looks_ahead:  # else it depends on more than the two neighbours
            if len(self._closed) >= MAX_REMEMBERED:
                self._closed.clear()
            self._closed[ways, text.kinds[position], text.kinds[position + 1]] = closed
        return closed

    def _after(self, text: _Text, position: int, way: int) -> tuple[int, ...]:
        step = self._steps[way]
        if isinstance(step, Fork):
            return step.to
        if isinstance(step, Check) and text.is_at(step.place, position):
            return (step.after,)
        if isinstance(step, Look):
            begin = frozenset((step.begin,))
            if self._run(text, position, begin, anywhere=False) is not step.negated:
                return (step.after,)
        return ()

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise _TooMuchWorkError
