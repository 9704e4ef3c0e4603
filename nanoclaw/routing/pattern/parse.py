"""Reads a pattern in JavaScript's flavour, because that is what existing wirings hold (H-78).

Pure; recursive descent with a depth limit. What needs backtracking (back references, looking
behind) and what this flavour does not know raises BadPattern with a text for the administrator.
``(?i)`` in front is an addition: it makes the whole pattern ignore case.
"""

from nanoclaw.routing.pattern.tree import (
    DIGITS,
    LINE_ENDS,
    SPACES,
    WORD,
    Ahead,
    At,
    Choice,
    Node,
    OneOf,
    Place,
    Range,
    Repeat,
    Sequence,
    complement,
)

MAX_PATTERN = 1000
MAX_DEPTH = 50
MAX_COUNT = 1000

IGNORE_CASE = "(?i)"
_CLASSES: dict[str, tuple[Range, ...]] = {
    "d": DIGITS, "D": complement(DIGITS), "w": WORD, "W": complement(WORD),
    "s": SPACES, "S": complement(SPACES),
}  # fmt: skip
_CONTROLS = {"n": 10, "r": 13, "t": 9, "v": 11, "f": 12, "0": 0}
_PLACES = ("^", "$", r"\b", r"\B")
_HEX_LENGTHS = {"x": 2, "u": 4}


class BadPattern(ValueError):  # noqa: N818 - a finding about somebody's input, not a fault of ours
    """The text says what is wrong with the pattern."""


def parse_pattern(text: str) -> Node:
    """The tree of a pattern without its ``(?i)``; raises BadPattern."""
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"longer than {MAX_PATTERN} characters")
    parser = _Parser(text)
    node = parser.choice(0)
    if not parser.at_end:
        raise BadPattern(f"a bracket is closed that was not opened, at {parser.position}")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self._text)

    def choice(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadPattern(f"brackets are nested deeper than {MAX_DEPTH}")
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self, depth: int) -> Node:
        nodes: list[Node] = []
        while not self.at_end and self._text[self.position] not in "|)":
            begin = self.position
            atom = self._atom(depth)
            nodes.append(self._repeated(atom, self._text[begin : self.position]))
        return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))

    def _repeated(self, node: Node, written: str) -> Node:
        counts = self._quantifier()
        if counts is None:
            return node
        if written in _PLACES:
            raise BadPattern(f"nothing to repeat, at {self.position}")
        self._take("?")
        return Repeat(node, *counts)

    def _quantifier(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        return self._braces()

    def _braces(self) -> tuple[int, int | None] | None:
        """``{2}``, ``{2,}``, ``{2,5}``; any other brace is a character like others."""
        end = self._text.find("}", self.position)
        if end < 0 or not self._text.startswith("{", self.position):
            return None
        low, comma, high = self._text[self.position + 1 : end].partition(",")
        if not _is_number(low) or (high and not _is_number(high)):
            return None
        counts = int(low), (int(high) if high else None) if comma else int(low)
        if max(counts[0], counts[1] or 0) > MAX_COUNT:
            raise BadPattern(f"repeats more than {MAX_COUNT} times")
        if counts[1] is not None and counts[1] < counts[0]:
            raise BadPattern("repeats with the numbers the wrong way round")
        self.position = end + 1
        return counts

    def _atom(self, depth: int) -> Node:
        letter = self._next()
        if letter == "^":
            return At(Place.START)
        if letter == "$":
            return At(Place.END)
        if letter == ".":
            return OneOf(LINE_ENDS, negated=True)
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            return self._set()
        if letter == "\\":
            return self._escape()
        if letter in "*+?":
            raise BadPattern(f"nothing to repeat, at {self.position - 1}")
        return _character(ord(letter))

    def _group(self, depth: int) -> Node:
        if self._take("?=") or self._take("?!"):
            negated = self._text[self.position - 1] == "!"
            return Ahead(self._closed(depth), negated)
        if not self._take("?:"):
            self._take("?P<") or self._take("?<")
            if self._text[self.position - 1] == "<":
                self._skip_name()
            elif self._text.startswith("?", self.position):
                raise BadPattern(f"unknown kind of bracket, at {self.position}")
        return self._closed(depth)

    def _closed(self, depth: int) -> Node:
        node = self.choice(depth + 1)
        if not self._take(")"):
            raise BadPattern("a bracket is not closed")
        return node

    def _skip_name(self) -> None:
        if self._text.startswith(("=", "!"), self.position):
            raise BadPattern("looking behind is not supported")
        name, bracket, _ = self._text[self.position :].partition(">")
        if not bracket or not name.isidentifier():
            raise BadPattern(f"a group's name is not readable, at {self.position}")
        self.position += len(name) + 1

    def _escape(self) -> Node:
        letter = self._next("ends in a backslash")
        if letter == "b":
            return At(Place.WORD_EDGE)
        if letter == "B":
            return At(Place.NO_WORD_EDGE)
        if letter in "123456789k":
            raise BadPattern("references to groups are not supported")
        if letter in "pP" and self._text.startswith("{", self.position):
            raise BadPattern("properties of characters (\\p) are not supported")
        if letter in _CLASSES:
            return OneOf(_CLASSES[letter])
        return _character(self._code(letter))

    def _code(self, letter: str) -> int:
        """The code point that an escape letter, with what follows it, stands for."""
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "c" and not self.at_end and self._text[self.position].isalpha():
            return ord(self._next()) % 32
        if letter == "u" and self._text.startswith("{", self.position):
            return self._code_in_braces()
        length = _HEX_LENGTHS.get(letter, 0)
        digits = self._text[self.position : self.position + length]
        if length and len(digits) == length and _is_hex(digits):
            self.position += length
            return int(digits, 16)
        return ord(letter)

    def _code_in_braces(self) -> int:
        digits, brace, _ = self._text[self.position + 1 :].partition("}")
        if not brace or not _is_hex(digits) or int(digits, 16) > 0x10FFFF:
            raise BadPattern("\\u{...} holds no code point")
        self.position += len(digits) + 2
        return int(digits, 16)

    def _set(self) -> Node:
        negated = self._take("^")
        ranges: list[Range] = []
        while not self._take("]"):
            low = self._member()
            if self._text.startswith("-", self.position) and not self._text.startswith(
                "-]", self.position
            ):
                self.position += 1
                high = self._member()
                ranges += _span(low, high)
            else:
                ranges += low
        return OneOf(tuple(ranges), negated)

    def _member(self) -> tuple[Range, ...]:
        letter = self._next("a square bracket is not closed")
        if letter != "\\":
            return ((ord(letter), ord(letter)),)
        letter = self._next("a square bracket is not closed")
        if letter in _CLASSES:
            return _CLASSES[letter]
        code = 8 if letter == "b" else self._code(letter)
        return ((code, code),)

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self.position):
            return False
        self.position += len(text)
        return True

    def _next(self, complaint: str = "ends too early") -> str:
        if self.at_end:
            raise BadPattern(complaint)
        self.position += 1
        return self._text[self.position - 1]


def _character(code: int) -> OneOf:
    return OneOf(((code, code),))


def _span(low: tuple[Range, ...], high: tuple[Range, ...]) -> tuple[Range, ...]:
    """A range between two characters; with a class at an end the hyphen is one of them."""
    if len(low) == len(high) == 1 and low[0][0] == low[0][1] and high[0][0] == high[0][1]:
        if high[0][0] < low[0][0]:
            raise BadPattern("a range of characters runs backwards")
        return ((low[0][0], high[0][0]),)
    return (*low, (0x2D, 0x2D), *high)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 6


def _is_hex(text: str) -> bool:
    return 0 < len(text) <= 6 and all(letter in "0123456789abcdefABCDEF" for letter in text)
