import base64
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mcp_client.results import (
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    MAX_TEXT,
    bounded_text,
    translate,
)
from runner.toolbox.base import DocumentPart, ImagePart, TextPart

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


class Kept:
    """A spool in memory."""

    def __init__(self, *, full: bool = False) -> None:
        self.files: list[tuple[bytes, str]] = []
        self._full = full

    def keep(self, content: bytes, suffix: str) -> Path | None:
        self.files.append((content, suffix))
        return None if self._full else Path(f"/spool/{len(self.files)}{suffix}")


def answer(*blocks: dict[str, Any], **fields: Any) -> types.CallToolResult:
    return types.CallToolResult.model_validate({"content": list(blocks), **fields})


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": media_type}


def test_texts_are_joined() -> None:
    result = translate(answer(text("one"), text("two")), Kept())

    assert result.parts == (TextPart("one\ntwo"),)
    assert not result.is_error


def test_an_error_stays_one() -> None:
    assert translate(answer(text("no"), isError=True), Kept()).is_error


def test_an_empty_answer_has_text_all_the_same() -> None:
    assert translate(answer(), Kept()).parts == (TextPart("(no output)"),)
    assert translate(answer(text(" \n")), Kept()).parts == (TextPart("(no output)"),)


def test_structured_content_is_shown_when_there_is_no_text() -> None:
    assert '"a": 1' in translate(answer(structuredContent={"a": 1}), Kept()).text
    assert translate(answer(text("t"), structuredContent={"a": 1}), Kept()).text == "t"


def test_an_image_is_passed_on_as_what_it_is() -> None:
    result = translate(answer(text("see"), image(PNG, "image/jpeg")), Kept())

    assert result.parts == (
        TextPart("see"),
        ImagePart("image/png", base64.b64encode(PNG).decode()),
    )


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_every_kind_of_image_is_recognised_by_its_first_bytes(
    start: bytes, media_type: str
) -> None:
    [part] = translate(answer(image(start)), Kept()).parts

    assert isinstance(part, ImagePart)
    assert part.media_type == media_type


def test_what_only_claims_to_be_an_image_becomes_a_file() -> None:
    spool = Kept()

    result = translate(answer(image(b"<svg/>", "image/png")), spool)

    assert spool.files == [(b"<svg/>", ".bin")]
    assert "/spool/1.bin" in result.text


def test_an_image_that_is_too_large_becomes_a_file() -> None:
    spool = Kept()

    result = translate(answer(image(PNG + b"\0" * MAX_IMAGE_BYTES)), spool)

    assert "/spool/1.png" in result.text


def test_more_images_than_a_model_takes_become_files() -> None:
    result = translate(answer(*[image(PNG)] * (MAX_IMAGES + 2)), Kept())

    assert sum(isinstance(part, ImagePart) for part in result.parts) == MAX_IMAGES
    assert "/spool/2.png" in result.text


def test_damaged_data_is_told() -> None:
    result = translate(answer({"type": "image", "data": "!", "mimeType": "image/png"}), Kept())

    assert "damaged" in result.text


def test_audio_is_told_in_words() -> None:
    block = {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}

    assert "audio" in translate(answer(block), Kept()).text


def test_resources_are_shown_as_text_or_kept() -> None:
    pdf = base64.b64encode(b"%PDF-1.7 x").decode()
    result = translate(
        answer(
            {"type": "resource", "resource": {"uri": "a:1", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "a:2", "blob": "AAEC", "mimeType": "x/y"}},
            {"type": "resource", "resource": {"uri": "a:3", "blob": pdf}},
            {"type": "resource_link", "uri": "a:4", "name": "link", "description": "elsewhere"},
        ),
        Kept(),
    )

    assert "[resource a:1]\ninside" in result.text
    assert "[resource a:2: x/y, 3 bytes, kept in /spool/1.bin]" in result.text
    assert "[resource a:4: link elsewhere]" in result.text
    assert result.parts[1] == DocumentPart("application/pdf", pdf, "resource a:3")


def test_a_blob_that_is_text_is_shown_as_text() -> None:
    resource = {"uri": "a:1", "blob": "aGk=", "mimeType": "text/plain"}
    broken = {"uri": "a:2", "blob": "/w==", "mimeType": "text/plain"}

    result = translate(
        answer(
            {"type": "resource", "resource": resource}, {"type": "resource", "resource": broken}
        ),
        Kept(),
    )

    assert result.text.startswith("[resource a:1]\nhi\n[resource a:2: text/plain, 1 bytes, kept in")


def test_a_long_text_is_cut_in_the_middle_and_kept_whole() -> None:
    spool = Kept()
    long = "a" * MAX_TEXT + "b" * MAX_TEXT

    result = translate(answer(text(long)), spool)

    assert len(result.text) < MAX_TEXT
    assert result.text.startswith("aaa")
    assert result.text.endswith("bbb")
    assert "61,000 characters left out; all of it is in /spool/1.txt" in result.text
    assert spool.files == [(long.encode(), ".txt")]


def test_a_full_spool_does_not_cost_the_result() -> None:
    assert "left out ..." in bounded_text("x" * (MAX_TEXT + 1), Kept(full=True))


def test_control_characters_do_not_reach_the_model() -> None:
    assert translate(answer(text("a\x00b\x1b[31mc")), Kept()).text == "ab[31mc"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.builds(text, st.text()),
            st.builds(image, st.binary(max_size=40), st.text(max_size=10)),
        ),
        max_size=5,
    )
)
def test_any_answer_has_at_least_one_part_and_no_empty_text(blocks: list[dict[str, Any]]) -> None:
    parts = translate(answer(*blocks), Kept()).parts

    assert parts
    assert all(part.text for part in parts if isinstance(part, TextPart))
