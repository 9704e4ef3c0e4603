"""The guard finds a secret however it is written, and nothing else."""

import base64
import codecs
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.leaks.scanner import BLOCK, Guarded, Scanner
from nanoclaw.leaks.strength import weakness

KEY = "sk-ant-api03-Zq8wX2mN5pLr7TvB9cDf3GhJ6kMs4QyW1eRtUiOaSx0zVbNc2Yd5Fg8Hj"
RAW = KEY.encode()
SCANNER = Scanner([Guarded("main-key", KEY)])


def changed(form: str) -> bytes:
    forms: dict[str, bytes] = {
        "plain": RAW,
        "upper": KEY.upper().encode(),
        "base64": base64.b64encode(RAW),
        "base64 behind one byte": base64.b64encode(b"x" + RAW + b"y"),
        "base64 behind two bytes": base64.b64encode(b"xx" + RAW + b"y"),
        "base64 for addresses": base64.urlsafe_b64encode(RAW),
        "base64 in lines": base64.encodebytes(RAW),
        "base64 twice": base64.b64encode(base64.b64encode(b"x" + RAW)),
        "base64 of utf-16": base64.b64encode(KEY.encode("utf-16-le")),
        "base32": base64.b32encode(b"abc" + RAW),
        "hex": RAW.hex().encode(),
        "hex with colons": RAW.hex(":").upper().encode(),
        "hex in a list": ", ".join(hex(byte) for byte in RAW).encode(),
        "numbers": str(list(RAW)).encode(),
        "percent": "".join(f"%{byte:02X}" for byte in RAW).encode(),
        "partly percent": quote(KEY).replace("Z", "%5a").replace("T", "%54").encode(),
        "percent twice": "".join(f"%25{byte:02x}" for byte in RAW).encode(),
        "json": "".join(f"\\u{byte:04x}" for byte in RAW).encode(),
        "json in json": json.dumps(json.dumps({"a": "\n".join(KEY)})).encode(),
        "entities": "".join(f"&#x{byte:x};" for byte in RAW).encode(),
        "backwards": RAW[::-1],
        "rot13": codecs.encode(KEY, "rot13").encode(),
        "invisible": "\u200b".join(KEY).encode(),
        "code ticks": "`".join([KEY[:9], KEY[9:30], KEY[30:]]).encode(),
        "utf-16": KEY.encode("utf-16-le"),
        "full width": "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in KEY).encode(),
        "middle": RAW[25:50],
        "first half": RAW[:40],
        "end": RAW[-22:],
    }
    return forms[form]


FORMS = (
    "plain", "upper", "base64", "base64 behind one byte", "base64 behind two bytes",
    "base64 for addresses", "base64 in lines", "base64 twice", "base64 of utf-16", "base32", "hex",
    "hex with colons", "hex in a list", "numbers", "percent", "partly percent", "percent twice",
    "json", "json in json", "entities", "backwards", "rot13", "invisible", "code ticks", "utf-16",
    "full width", "middle", "first half", "end",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_secret_is_found_in_every_form(form: str) -> None:
    found = SCANNER.find(b"before it: " + changed(form) + b" :and behind")

    assert found is not None
    assert found.name == "main-key"


@settings(deadline=None, max_examples=200)
@given(
    st.text(string.ascii_letters + string.digits, min_size=20, max_size=80),
    st.binary(max_size=300),
    st.integers(0, 60),
)
def test_any_twenty_letters_of_a_secret_are_found(value: str, before: bytes, start: int) -> None:
    if weakness(value) is not None:
        value += "Zq8wX2mN5pLr7TvB9cDf"
    start = min(start, len(value) - 20)
    part = value[start : start + 20].encode()

    assert Scanner([Guarded("x", value)]).find(before + b" " + part + b" end") is not None


@pytest.mark.parametrize("place", range(-40, 41, 8))
def test_secret_at_the_border_of_two_blocks_is_found(place: int) -> None:
    data = b"." * (BLOCK - len(RAW) // 2 + place) + RAW + b"." * BLOCK

    assert SCANNER.find(data) is not None


def test_beginning_that_all_keys_share_is_no_find() -> None:
    assert SCANNER.find(b"keys begin with sk-ant-api03- and then go on") is None


def test_ordinary_text_is_no_find() -> None:
    text = " ".join(str(number * number) for number in range(50_000)).encode()

    assert SCANNER.find(text) is None
    assert SCANNER.find(base64.b64encode(text)) is None


@pytest.mark.parametrize("value", ["password1", "Secret!1", "short", "aaaaaaaaaaaa", "12345678"])
def test_weak_secret_is_left_out(value: str) -> None:
    assert weakness(value) is not None
    assert Scanner([Guarded("weak", value)]).find(f"my {value} is".encode()) is None


def test_short_strong_secret_is_found_whole_only() -> None:
    scanner = Scanner([Guarded("pin", "tR7#kq2Wz9")])

    assert scanner.find(b"it is tR7#kq2Wz9.") is not None
    assert scanner.find(b"it is tR7#kq2.") is None


def test_texts_inside_a_json_secret_are_found() -> None:
    value = json.dumps({"refreshToken": "rt-9f8e7d6c5b4a39281706f5e4d3", "expiresAt": 17})

    assert Scanner([Guarded("oauth", value)]).find(b"9f8e7d6c5b4a39281706f5e4d3") is not None


def test_a_find_never_shows_the_value() -> None:
    assert KEY not in repr(SCANNER.find(RAW)) + repr(Guarded("n", KEY))
