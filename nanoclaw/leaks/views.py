"""A text with its escapes undone, for the scanner: ``%41``, ``\\u0041``, ``\\x41``, ``&#65;``.

Pure. Escapes inside escapes are undone a few times over. The text is looked through as it is as
well, because what looks like an escape may be a part of a secret.
"""

import re

ROUNDS = 3
_BACKSLASH = re.compile(r"(?<!\\)\\+(?:u\{?([0-9a-fA-F]{4,6})\}?|x([0-9a-fA-F]{2})|([0-7]{3}))")
_LINES = re.compile(r"(?<!\\)\\+[nrtbf]")
"""Both begin at the first backslash of a row and nowhere within: a long row is read once."""
_LEADING_ZEROS = re.compile(r"&#0+(?=[0-9])")
_NO_CHARACTER = re.compile(r"&#[0-9]{8,};?")
_PERCENT = re.compile(r"%(?:u([0-9a-fA-F]{4})|([0-9a-fA-F]{2}))")
MAX_CODE = 0x10FFFF


def undone(data: bytes) -> bytes | None:
    """None: there is nothing to undo."""
    if data.isascii() and not any(mark in data for mark in (b"\\", b"%", b"&")):
        return None
    text = first = data.decode("utf-8", "replace")
    for _ in range(ROUNDS):
        before = text
        text = _undo(text)
        if text == before:
            break
    if not text.isascii():
        import unicodedata  # few texts need it

        text = unicodedata.normalize("NFKC", text)
    return None if text == first else text.encode("utf-8", "replace")


def _undo(text: str) -> str:
    if "\\" in text:
        text = _BACKSLASH.sub(_character, text)
        text = _LINES.sub("\n", text)
    if "%" in text:
        text = _PERCENT.sub(_character, text)
    if "&" in text:
        import html  # brings the table of all names along

        # Numbers of thousands of digits are an error there, and no character anywhere.
        text = _NO_CHARACTER.sub("", _LEADING_ZEROS.sub("&#", text))
        text = html.unescape(text)
    return text


def _character(found: re.Match[str]) -> str:
    octal = found.group(3) if found.re is _BACKSLASH else None
    code = int(octal, 8) if octal else int(found.group(1) or found.group(2), 16)
    return chr(code) if code <= MAX_CODE else ""
