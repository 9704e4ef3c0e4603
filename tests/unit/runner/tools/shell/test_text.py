import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.shell.text import (
    HEAD_CHARACTERS,
    MAX_CHARACTERS,
    TAIL_CHARACTERS,
    Excerpt,
    clean,
    shortened,
    whole_characters,
)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]never closed\nnext", "never closed\nnext"),
        (b"\x1b(Bplain\x1b=", "plain"),
        (b"10%\r20%\r\n", "20%\n"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"caf\xe9\x00\x08", "caf\ufffd"),
        ("\x9bend\tü\n".encode(), "end\tü\n"),
    ],
)
def test_what_a_terminal_would_show(data: bytes, shown: str) -> None:
    assert clean(data) == shown


@pytest.mark.parametrize("unit", [b"x", b"\r", b"\x1b", b"\x1b]", b"\x1b[0", b"a\r", b"\x1b[;"])
def test_a_long_line_of_anything_is_cleaned_in_linear_time(unit: bytes) -> None:
    """Would take minutes if it were not."""
    assert len(clean(unit * 400_000)) <= len(unit) * 400_000


@given(st.binary(max_size=500))
@settings(deadline=None)
def test_any_bytes_become_text_that_can_be_sent(data: bytes) -> None:
    text = clean(data)

    text.encode()
    assert not any(ord(char) < 32 and char not in "\n\t" for char in text)
    assert clean(text.encode()) == text


@given(st.text(st.characters(codec="utf-8"), max_size=50))
@settings(deadline=None)
def test_whole_characters_never_cut_one(text: str) -> None:
    data = text.encode()

    for length in range(len(data) + 1):
        taken = whole_characters(data[:length])
        data[:taken].decode()
        assert length - taken < 4


@given(st.binary(max_size=20))
@settings(deadline=None)
def test_whole_characters_get_on(data: bytes) -> None:
    assert len(data) - 3 <= whole_characters(data) <= len(data)


def test_a_short_output_is_shown_whole() -> None:
    assert shortened(Excerpt(b"a\nb\n\n", None, 5), "file") == "a\nb"


def test_what_was_left_out_is_told_in_characters_or_bytes() -> None:
    whole = ("ü" * (MAX_CHARACTERS + 7)).encode()
    head, tail = b"a" * 4 * HEAD_CHARACTERS, b"z" * 4 * TAIL_CHARACTERS

    in_characters = shortened(Excerpt(whole, None, len(whole)), "file")
    in_bytes = shortened(Excerpt(head, tail, 1_000_000), "file")

    assert "[... 7 characters left out here; the whole output is in file ...]" in in_characters
    assert "[... 970000 of 1000000 bytes left out here" in in_bytes
    assert in_bytes.startswith("a" * HEAD_CHARACTERS + "\n")
    assert in_bytes.endswith("\n" + "z" * TAIL_CHARACTERS)


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300), st.integers(0, 10**9))
@settings(deadline=None)
def test_an_excerpt_is_never_longer_than_its_limit(
    head: bytes, tail: bytes | None, size: int
) -> None:
    excerpt = Excerpt(head * 300, None if tail is None else tail * 300, size)

    assert len(shortened(excerpt, "file")) <= MAX_CHARACTERS + 200
