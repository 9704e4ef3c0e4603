"""Escapes are undone whatever an agent writes, and in time that grows with the text only."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.leaks.scanner import Guarded, Scanner
from nanoclaw.leaks.views import undone

SECRET = "sk-live-4fKq82LmZx91TtBv"
LONG_NUMBER = b"&#" + b"1" * 5000 + b";"


def test_number_of_thousands_of_digits_breaks_nothing() -> None:
    assert undone(LONG_NUMBER + b"&#65;") == b"A"


def test_number_of_thousands_of_digits_hides_no_secret() -> None:
    escaped = "".join(f"&#{ord(sign)};" for sign in SECRET).encode()

    found = Scanner([Guarded("service", SECRET)]).find(LONG_NUMBER + escaped)

    assert found is not None


def test_zeros_before_a_number_are_no_disguise() -> None:
    assert undone(b"&#" + b"0" * 5000 + b"65;") == b"A"


@pytest.mark.parametrize("end", [b"", b"u00", b"q"])
def test_long_row_of_backslashes_is_read_once(end: bytes) -> None:
    """Read anew from each of its signs it would take hours."""
    assert undone(b"\\" * 250_000 + end) is None


def test_escape_behind_several_backslashes_is_undone() -> None:
    assert undone(rb"\\\u0041 \x41\x42") == b"A AB"


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="\\&#;x0u19%aA{}", max_size=300))
def test_no_text_breaks_the_undoing(text: str) -> None:
    undone(text.encode())


def test_control_is_found_in_base64_too() -> None:
    scanner = Scanner([Guarded("service", SECRET)])

    assert scanner.find(base64.b64encode(SECRET.encode())) is not None
