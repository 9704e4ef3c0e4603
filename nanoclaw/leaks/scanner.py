"""Finds secrets in bytes, in the forms of ``encodings``, in time that their number hardly changes.

Built by ``current`` whenever secrets have changed; pure apart from that. All pieces of ten bytes of
all forms are in one set, and of a text every eleventh such piece is looked up: whatever twenty
bytes of a form stand in it in a row, one of these pieces lies within. Only then the neighbours are
compared. Forms shorter than that are searched for one by one.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nanoclaw.leaks.encodings import (
    PART,
    Form,
    View,
    base64_letters,
    core_of,
    forms_of,
    letters,
    parts_of,
)
from nanoclaw.leaks.strength import weakness
from nanoclaw.leaks.views import undone

GRAM = 10
STEP = PART - GRAM + 1
BLOCK = 256 * 1024
OVERLAP = 16 * 1024
"""How far the pieces of a secret may be apart at the border of two blocks."""
MANY_PREFIXES = 8
_GRAMS = struct.Struct(f"{GRAM}s{STEP - GRAM}x")


@dataclass(frozen=True, slots=True)
class Guarded:
    """``name`` is shown to the owner, the value to nobody."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """``form`` says how the secret was written: "in base64"."""

    name: str
    form: str


@dataclass(slots=True)
class _Forms:
    """Those of one view; ``short`` are searched for, the others looked up."""

    short: list[tuple[str, Form]] = field(default_factory=list)
    long: list[tuple[str, Form]] = field(default_factory=list)
    grams: set[bytes] = field(default_factory=set)

    def add(self, name: str, form: Form) -> None:
        if form.least < PART:
            self.short.append((name, form))
            return
        self.long.append((name, form))
        needle = form.needle
        # A long form needs fewer pieces of its own: of ``stride`` neighbouring pieces of the text
        # one lies at a place that is a multiple of it.
        stride = max(1, (form.least - GRAM) // STEP)
        while stride % STEP == 0:
            stride -= 1
        self.grams.update(needle[at : at + GRAM] for at in range(0, len(needle) - GRAM + 1, stride))


class Scanner:
    """Immutable once built; may be used from several threads."""

    def __init__(self, secrets: Iterable[Guarded]) -> None:
        self._forms = {view: _Forms() for view in View}
        self._exact: list[tuple[str, bytes]] = []
        for secret in secrets:
            for part in parts_of(secret.value):
                if weakness(part) is None:
                    self._add(secret.name, part)

    def find(self, data: bytes) -> Found | None:
        """The first secret that is in it. For much data call it on a thread."""
        if not self._exact:
            return None
        for start in range(0, max(1, len(data)), BLOCK):
            block = data[max(0, start - OVERLAP) : start + BLOCK]
            found = self._find_in(block)
            if found is None:
                plain = undone(block)
                found = self._find_in(plain) if plain is not None else None
            if found is not None:
                return found
        return None

    def _add(self, name: str, value: str) -> None:
        self._exact.append((name, value.encode("utf-8", "replace")))
        for form in forms_of(core_of(value)):
            self._forms[form.view].add(name, form)

    def _find_in(self, block: bytes) -> Found | None:
        for name, value in self._exact:
            if value in block:
                return Found(name, "as it is")
        plain = letters(block)
        found = _find(self._forms[View.LETTERS], plain)
        if found is None and plain.count(b"0x") >= MANY_PREFIXES:
            found = _find(self._forms[View.LETTERS], plain.replace(b"0x", b""))
        return found or _find(self._forms[View.BASE64], base64_letters(block))


def _find(forms: _Forms, text: bytes) -> Found | None:
    for name, form in forms.short:
        if form.needle in text:
            return Found(name, form.words)
    if len(text) < PART or forms.grams.isdisjoint(_pieces(text)):
        return None
    for at in range(0, len(text) - GRAM + 1, STEP):
        if text[at : at + GRAM] in forms.grams:
            for name, form in forms.long:
                if _longest(form.needle, text, at) >= form.least:
                    return Found(name, form.words)
    return None


def _pieces(text: bytes) -> Iterator[bytes]:
    """Every eleventh ten bytes; the last ones may stand alone."""
    whole = len(text) // STEP * STEP
    yield from (piece for (piece,) in _GRAMS.iter_unpack(text[:whole]))
    if len(text) - whole == GRAM:
        yield text[whole:]


def _longest(needle: bytes, text: bytes, at: int) -> int:
    """How many bytes around the piece of the text at ``at`` are the same in both."""
    piece = text[at : at + GRAM]
    longest = 0
    place = needle.find(piece)
    while place >= 0:
        before = _same(needle[:place][::-1], text[max(0, at - place) : at][::-1])
        after = _same(needle[place + GRAM :], text[at + GRAM : at + len(needle)])
        longest = max(longest, before + GRAM + after)
        place = needle.find(piece, place + 1)
    return longest


def _same(one: bytes, other: bytes) -> int:
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))
