"""Text of strangers on a terminal: what it would obey is escaped, and its cells are counted.

Used by the formatter of ``ncl`` on both sides. Pure. A chat's name comes from outside; it must not
move the cursor, turn the direction of a line or hide anything in it. What is shown instead is the
character's number, as ``\\x1b``.
"""

import unicodedata

_HARMLESS = frozenset({"Zs", "Co", "Cn"})
"""Categories that ``isprintable`` refuses and a terminal only shows: other spaces, private letters,
and letters that are newer than this Python."""
_JOINERS = frozenset("\u200c\u200d")
"""Scripts and emoji are written with them."""
_ZERO_WIDTH_JOINER = "\u200d"
_EMOJI_SELECTOR = "\ufe0f"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_JAMO_JOINED = range(0x1160, 0x1200)
"""Vowels and finals of Korean that are drawn into the syllable before them."""


def safe_text(text: str, *, keep: str = "") -> str:
    """``text`` with everything escaped that is no visible letter and not in ``keep``."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in keep or _is_harmless(letter)
        else _escape(letter)
        for letter in text
    )


def _is_harmless(letter: str) -> bool:
    return letter in _JOINERS or unicodedata.category(letter) in _HARMLESS


def _escape(letter: str) -> str:
    number = ord(letter)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def display_width(text: str) -> int:
    """Cells that ``text`` takes on a terminal; it is safe text."""
    if text.isascii():
        return len(text)
    return sum(_widths(text))


def _widths(text: str) -> list[int]:
    widths: list[int] = []
    before = ""
    for letter in text:
        if letter == _EMOJI_SELECTOR and widths and widths[-1] == 1:
            widths.append(1)  # the letter before is drawn as a picture, which is two cells wide
        elif _is_drawn_over(letter, before, widths):
            widths.append(0)
        else:
            widths.append(2 if unicodedata.east_asian_width(letter) in "WF" else 1)
        before = letter
    return widths


def _is_drawn_over(letter: str, before: str, widths: list[int]) -> bool:
    category = unicodedata.category(letter)
    if letter in _JOINERS or category in ("Mn", "Me"):
        return True
    if before == _ZERO_WIDTH_JOINER and category == "So":
        return True  # the next part of one picture
    number = ord(letter)
    return number in _JAMO_JOINED or (number in _SKIN_TONES and bool(widths) and widths[-1] == 2)


def cut(text: str, cells: int, mark: str = "…") -> str:
    """``text`` if it fits, else as much of it as fits together with ``mark``."""
    if display_width(text) <= cells:
        return text
    room, position = cells - len(mark), 0
    widths = [1] * len(text) if text.isascii() else _widths(text)
    while widths[position] <= room:
        room -= widths[position]
        position += 1
    return text[:position] + mark[: max(cells, 0)]


def pad(text: str, cells: int) -> str:
    return text + " " * (cells - display_width(text))
