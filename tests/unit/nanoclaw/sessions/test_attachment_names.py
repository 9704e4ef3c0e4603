import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.sessions.attachments import (
    MAX_NAME_BYTES,
    derive_name,
    extension_of,
    is_safe_attachment_name,
    safe_name,
    unique_names,
)


@pytest.mark.parametrize("name", ["photo.jpg", "my file.txt", "a.b.c", ".hidden", "grün", "..."])
def test_t13_ordinary_names_are_safe(name: str) -> None:
    assert is_safe_attachment_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\\b", "a\0b", None, 5, b"x", ["x"]]
)
def test_t13_names_that_lead_elsewhere_or_are_none_are_not(name: object) -> None:
    assert not is_safe_attachment_name(name)


@pytest.mark.parametrize(
    ("mime_type", "kind", "expected"),
    [
        ("image/jpeg", None, "jpg"),
        ("IMAGE/PNG; charset=x", None, "png"),
        (" audio/mp4 ", "voice", "m4a"),
        ("application/pdf", "image", "pdf"),
        ("video/quicktime", None, "mov"),
        ("application/x-unknown", "photo", "jpg"),
        ("application/x-unknown", None, None),
        (None, "Sticker", "webp"),
        (5, "VOICE", "ogg"),
        ({"a": 1}, 7, None),
        (None, "unknown", None),
    ],
)
def test_t14_extension_by_content_type_then_by_kind(
    mime_type: object, kind: object, expected: str | None
) -> None:
    assert extension_of(mime_type, kind) == expected


@pytest.mark.parametrize(
    ("name", "mime_type", "kind", "expected"),
    [
        ("given.bin", "image/png", "image", "given.bin"),
        ("", "image/png", None, "attachment-5.png"),
        (7, "text/plain", None, "attachment-5.txt"),
        (None, None, "Animation", "attachment-5.mp4"),
        (None, ["odd"], None, "attachment-5"),
        (None, None, None, "attachment-5"),
    ],
)
def test_t15_name_is_given_or_derived(
    name: object, mime_type: object, kind: object, expected: str
) -> None:
    assert derive_name(name, mime_type, kind, 5) == expected


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=300), max_size=6))
def test_any_names_become_safe_short_and_different_ones(names: list[str]) -> None:
    made = unique_names(safe_name(name, 5) for name in names)

    assert len({name.casefold() for name in made}) == len(names)
    for name in made:
        assert is_safe_attachment_name(name)
        assert len(name.encode()) <= MAX_NAME_BYTES + 4


def test_long_name_keeps_its_ending() -> None:
    assert safe_name("x" * 500 + ".pdf", 5).endswith("x.pdf")
