"""Patterns for paths as shells and ignore files know them. Pure.

Written out instead of turned into regular expressions: a pattern of many stars would take those
forever, and patterns come from models and from files. The time is at most the product of the
lengths of pattern and path. Nothing is an error; what is no proper pattern stands for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_ALTERNATIVES = 64
ANY_FOLDERS = "**"


@dataclass(frozen=True, slots=True)
class _Set:
    """``[a-z]``: pairs of first and last character."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def matches(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class _Literal:
    char: str

    def matches(self, char: str) -> bool:
        return char == self.char


@dataclass(frozen=True, slots=True)
class _One:
    """``?``"""

    def matches(self, char: str) -> bool:
        return True


_Token = _Set | _Literal | _One | None
"""None is the star."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes. ``plain`` is set when nothing in it is special."""

    tokens: tuple[_Token, ...]
    plain: str | None = None

    def matches(self, name: str) -> bool:
        if self.plain is not None:
            return name == self.plain
        return _fits(self.tokens, name)


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern; None stands for any number of folders."""

    segments: tuple[Segment | None, ...]

    def matches(self, parts: Sequence[str]) -> bool:
        """``parts`` of a path below the place that the pattern is about."""
        return _fits(self.segments, parts)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pattern as a person writes it: ``*.py`` anywhere, ``src/*.py`` there, ``{a,b}`` both."""

    globs: tuple[Glob, ...]

    def matches(self, parts: Sequence[str]) -> bool:
        return any(glob.matches(parts) for glob in self.globs)


def wanted(pattern: str) -> Wanted:
    """Without a slash before its end it is about a name, in whatever folder."""
    return Wanted(tuple(_anywhere_or_there(text) for text in _alternatives(pattern)))


def _anywhere_or_there(pattern: str) -> Glob:
    return _glob(pattern if "/" in pattern.rstrip("/") else f"**/{pattern}")


def _glob(pattern: str) -> Glob:
    """From the place that the pattern is about; slashes at both ends count for nothing."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    if names and names[-1] == ANY_FOLDERS:
        names.append("*")  # what is in a folder, and not the folder itself
    return Glob(tuple(None if name == ANY_FOLDERS else _segment(name) for name in names))


class _Matcher(Protocol):
    def matches(self, text: str, /) -> bool: ...


def _fits(pattern: Sequence[_Matcher | None], items: Sequence[str]) -> bool:
    """Folders of a path or characters of a name; None in the pattern is any number of them."""
    place = taken = 0
    star, resume = -1, 0
    while taken < len(items):
        part = pattern[place] if place < len(pattern) else None
        if place < len(pattern) and part is None:
            star, resume = place, taken
            place += 1
        elif part is not None and part.matches(items[taken]):
            place, taken = place + 1, taken + 1
        elif star >= 0:
            resume += 1
            place, taken = star + 1, resume
        else:
            return False
    return all(part is None for part in pattern[place:])


def _segment(text: str) -> Segment:
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        token, place = _token(text, place)
        if token is not None or not tokens or tokens[-1] is not None:
            tokens.append(token)
    if all(isinstance(token, _Literal) for token in tokens):
        plain = "".join(token.char for token in tokens if isinstance(token, _Literal))
        return Segment(tuple(tokens), plain)
    return Segment(tuple(tokens))


def _token(text: str, place: int) -> tuple[_Token, int]:
    char = text[place]
    if char == "*":
        return None, place + 1
    if char == "?":
        return _One(), place + 1
    if char == "[" and (found := _set(text, place)) is not None:
        return found
    if char == "\\" and place + 1 < len(text):
        return _Literal(text[place + 1]), place + 2
    return _Literal(char), place + 1


def _set(text: str, place: int) -> tuple[_Set, int] | None:
    """None when it is not closed."""
    start = place + 1
    negated = text[start : start + 1] in ("!", "^")
    start += negated
    end = text.find("]", start + 1)
    if end < 0:
        return None
    inner, ranges = text[start:end], []
    index = 0
    while index < len(inner):
        if inner[index + 1 : index + 2] == "-" and index + 2 < len(inner):
            ranges.append((inner[index], inner[index + 2]))
            index += 3
        else:
            ranges.append((inner[index], inner[index]))
            index += 1
    return _Set(tuple(ranges), negated), end + 1


def _alternatives(pattern: str) -> list[str]:
    """``a.{b,c}`` as ``a.b`` and ``a.c``, from left to right and from the inside, up to a limit."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        text = waiting.pop()
        close = text.find("}", text.find("{") + 1) if "{" in text else -1
        start = text.rfind("{", 0, close) if close >= 0 else -1
        if start < 0 or len(waiting) + len(done) >= MAX_ALTERNATIVES:
            done.append(text)
            continue
        choices = text[start + 1 : close].split(",")[:MAX_ALTERNATIVES]
        waiting += [f"{text[:start]}{choice}{text[close + 1 :]}" for choice in reversed(choices)]
    return done[:MAX_ALTERNATIVES]
