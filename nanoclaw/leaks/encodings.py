"""The forms in which a secret is looked for, each as bytes of one of the two views of a text.

Pure. Called by ``scanner`` when secrets have changed. ``LETTERS`` is a text's letters
and digits alone, in small letters: blanks, line breaks, quotes, code ticks and invisible characters
between the pieces make no difference there. ``BASE64`` keeps the alphabet of base64, both kinds as
one. A form in a base is there once for every place at which the secret may begin.
"""

import base64
import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

PART = 20
"""Characters of a secret in a row that are enough; a shorter one is looked for as a whole."""
MAX_CHARACTERS = 4096
"""Of one secret; a key is far shorter."""
SHORTEST_CORE = 16
_GROUP = re.compile(r"[A-Za-z]{2,12}[0-9]{0,3}[-_]")
_MAX_GROUPS = 4


class View(Enum):
    LETTERS = auto()
    BASE64 = auto()


@dataclass(frozen=True, slots=True)
class Form:
    """``least`` bytes of ``needle`` in a row are a find; ``words`` say how it was written."""

    view: View
    needle: bytes
    least: int
    words: str


_LETTERS = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() and code < 128 else 0 for code in range(256)
)
_NOT_LETTERS = bytes(code for code in range(256) if not _LETTERS[code])
_BASE64 = bytes.maketrans(b"-_", b"+/")
_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_NOT_BASE64 = bytes(code for code in range(256) if code not in _KEPT)


def letters(data: bytes) -> bytes:
    return data.translate(_LETTERS, _NOT_LETTERS)


def base64_letters(data: bytes) -> bytes:
    return data.translate(_BASE64, _NOT_BASE64)


def core_of(value: str) -> str:
    """Without what all keys of one kind begin with (``sk-ant-api03-``): that is no secret."""
    for _ in range(_MAX_GROUPS):
        group = _GROUP.match(value)
        if group is None or len(value) - group.end() < SHORTEST_CORE:
            break
        value = value[group.end() :]
    return value


def parts_of(value: str) -> tuple[str, ...]:
    """Of a secret that is JSON, as OAuth credentials are, its long texts; else the secret."""
    if value.startswith("{"):
        try:
            found = tuple(_texts(json.loads(value)))
        except (ValueError, RecursionError):
            found = ()
        if found:
            return found
    return (value,)


def forms_of(core: str) -> Iterator[Form]:
    """All forms of a secret of at least eight letters and digits."""
    core = core[:MAX_CHARACTERS]
    data = core.encode("utf-8", "replace")
    plain = letters(data)
    yield _form(View.LETTERS, plain, 1, "as it is")
    yield _form(View.LETTERS, plain[::-1], 1, "backwards")
    yield _form(View.LETTERS, letters(codecs.encode(core, "rot13").encode()), 1, "in rot13")
    yield _form(View.LETTERS, data.hex().encode(), 2, "in hexadecimal")
    numbers = "".join(str(byte) for byte in data).encode()
    yield _form(View.LETTERS, numbers, 2.5, "as numbers")
    for shift in range(5):
        coded = _shifted(base64.b32encode, data, shift, 5)
        yield _form(View.LETTERS, coded.lower(), 1.6, "in base32")
    for coded in _base64(data):
        yield _form(View.BASE64, coded, 1.34, "in base64")
        for twice in _base64(coded):
            yield _form(View.BASE64, twice, 1.78, "in base64, twice")
    for inner in (data.decode("utf-8", "replace").encode("utf-16-le"), data.hex().encode()):
        for coded in _base64(inner):
            yield _form(View.BASE64, coded, 2.67, "in base64")
    for coded in _base64(data[::-1]):
        yield _form(View.BASE64, coded, 1.34, "backwards in base64")


def _form(view: View, needle: bytes, growth: float, words: str) -> Form:
    return Form(view, needle, min(len(needle), round(PART * growth)), words)


def _base64(data: bytes) -> list[bytes]:
    return [_shifted(base64.b64encode, data, shift, 6) for shift in range(3)]


def _shifted(encode: Callable[[bytes], bytes], data: bytes, shift: int, bits: int) -> bytes:
    """Those letters of the code that ``data`` alone decides, with ``shift`` bytes before it."""
    coded = encode(bytes(shift) + data)
    first = -(-shift * 8 // bits)
    last = (shift + len(data)) * 8 // bits
    return coded[first:last]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and len(value) >= PART:
        yield value
