"""From what somebody typed to what the search index is asked. Pure.

Every word must be in a message, wherever in it; capital and small letters are the same. A word in
quotation marks may have blanks inside.
"""

import itertools
import re
import unicodedata
from dataclasses import dataclass

TRIGRAM = 3
MAX_WORDS = 16
MAX_TYPED = 500
MAX_SHORT = 3
_PARTS = re.compile(r'"([^"]*)"|(\S+)')


class UnsearchableError(Exception):
    """The text is for whoever typed it."""


@dataclass(frozen=True, slots=True)
class Words:
    """``match`` is an expression of FTS5; ``short`` are words that it cannot find, each in all its
    spellings; ``plain`` are all words as they are to be shown."""

    match: str
    short: tuple[tuple[str, ...], ...]
    plain: tuple[str, ...]


def normal_text(text: str) -> str:
    """One form of letters that can be written in several, in messages as in words."""
    return unicodedata.normalize("NFC", text).replace("\0", " ")


def parse_words(typed: str) -> Words:
    """Raises UnsearchableError."""
    if len(typed) > MAX_TYPED:
        raise UnsearchableError(f"more than {MAX_TYPED} characters to search for")
    found = [quoted or word for quoted, word in _PARTS.findall(normal_text(typed))]
    words = [word.strip(' "') for word in found]
    words = list(dict.fromkeys(word for word in words if word))
    if not words:
        raise UnsearchableError("nothing to search for; give a word or more")
    if len(words) > MAX_WORDS:
        raise UnsearchableError(f"more than {MAX_WORDS} words to search for")
    long = [word for word in words if len(word) >= TRIGRAM]
    short = [word for word in words if len(word) < TRIGRAM]
    if len(short) > MAX_SHORT:
        raise UnsearchableError(
            f"more than {MAX_SHORT} words of one or two characters; leave some out"
        )
    return Words(
        match=" ".join(_quoted(word) for word in long),
        short=tuple(spellings(word) for word in short),
        plain=tuple(words),
    )


def _quoted(word: str) -> str:
    """As FTS5 takes it literally."""
    return '"' + word.replace('"', '""') + '"'


def spellings(word: str) -> tuple[str, ...]:
    """``ab`` in all mixtures of capital and small letters; only what stays one character."""
    choices = [
        dict.fromkeys(form for form in (char, char.lower(), char.upper()) if len(form) == 1)
        for char in word
    ]
    return tuple("".join(chars) for chars in itertools.product(*choices))[:4]


def excerpt(text: str, words: tuple[str, ...], width: int) -> str:
    """One line of the message around the first word that is in it."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    small = line.lower()
    places = [place for word in words if (place := small.find(word.lower())) >= 0]
    start = max(0, min(places, default=0) - width // 3)
    start = min(start, len(line) - width)
    cut = line[start : start + width]
    return ("…" if start else "") + cut + ("…" if start + width < len(line) else "")
