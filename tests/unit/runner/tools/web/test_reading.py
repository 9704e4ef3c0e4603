import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.web.reading import crude_text, decoded


@pytest.mark.parametrize(
    ("body", "declared", "expected"),
    [
        ("grün".encode(), "", "grün"),
        ("grün".encode("cp1252"), "", "grün"),
        ("grün".encode("iso-8859-1"), "iso-8859-1", "grün"),
        (b"\xef\xbb\xbfgr\xc3\xbcn", "latin-1", "grün"),
        ("grün".encode("utf-16"), "", "grün"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b"<meta charset='koi8-r'>\xc4", "", "<meta charset='koi8-r'>\u0434"),
        (b"gr\xc3\xbcn", "punycode", "grün"),
        (b"gr\xc3\xbcn", "zlib", "grün"),
        (b"gr\xc3\xbcn", "no-such-thing", "grün"),
        (b"gr\xc3\xbcn", "utf-8-sig\x00", "grün"),
        (b"\xff", "utf-8", "\ufffd"),
    ],
)
def test_text_is_read_in_its_character_set(body: bytes, declared: str, expected: str) -> None:
    assert decoded(body, declared, is_html=True) == expected


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_are_read(body: bytes, declared: str) -> None:
    assert isinstance(decoded(body, declared, is_html=True), str)


def test_the_crude_reading_leaves_out_programs_and_tags() -> None:
    html = "<p>a<script>x</script>b</p><STYLE>y</STYLE>&amp;<script>never ends"

    assert crude_text(html).replace(">", "").split() == ["a", "b", "&"]
