"""The words of message rows, whatever shape they have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import BadContent
from contract.jsontext import dump
from nanoclaw.admin.message_text import (
    MAX_CHARACTERS,
    sender_of_row,
    text_of_message,
    text_of_row,
)


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("chat", {"text": " hello ", "attachments": [{"name": "plan.pdf"}]}, "hello\nplan.pdf"),
        ("chat", {"text": "", "files": ["a.txt"]}, "a.txt"),
        ("chat", {"event": "edit", "messageId": "1", "text": "better"}, "better"),
        ("chat", {"event": "reaction", "messageId": "1", "emoji": "👍"}, ""),
        ("task", {"prompt": "Water the plants"}, "Water the plants"),
        ("webhook", {"source": "ci", "event": "red", "payload": {"job": 7}}, 'ci\nred\n{"job":7}'),
        ("webhook", {"source": "ci", "payload": "plain"}, "ci\nplain"),
        ("webhook", {"source": "ci", "payload": None}, "ci"),
        ("system", {"type": "cli_response", "requestId": "1", "frame": {}}, ""),
    ],
)
def test_words_of_a_row(kind: str, content: dict[str, object], words: str) -> None:
    assert text_of_row(kind, dump(content)) == words


@pytest.mark.parametrize(
    ("kind", "content", "sender"),
    [
        ("chat", {"text": "x", "sender": "Ann", "senderId": "cli:1"}, "Ann"),
        ("chat", {"text": "x", "senderId": "cli:1"}, "cli:1"),
        ("chat", {"event": "edit", "messageId": "1", "text": "x", "sender": "Ann"}, "Ann"),
        ("webhook", {"source": "ci"}, None),
        ("task", {"prompt": "x"}, None),
    ],
)
def test_sender_of_a_row(kind: str, content: dict[str, object], sender: str | None) -> None:
    assert sender_of_row(kind, dump(content)) == sender


def test_a_row_that_is_too_long_has_no_words_and_no_sender() -> None:
    content = " " * (5 * 1024 * 1024)

    assert text_of_row("chat", content) == ""
    assert sender_of_row("chat", content) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"text": "hello", "files": ["a.txt"]}, "hello\na.txt"),
        ({"text": "", "markdown": "**hello**"}, "**hello**"),
        ({"operation": "edit", "messageId": "1", "text": "better"}, "better"),
        ({"operation": "reaction", "messageId": "1", "emoji": "👍"}, ""),
        (
            {"type": "ask_question", "questionId": "q", "title": "Tea?", "question": "Which?",
             "options": ["Green"]},
            "Tea?\nWhich?\nGreen",
        ),
        ({"type": "card", "card": {"title": "T", "description": "D"}, "fallbackText": "F"},
         "T\nD\nF"),
    ],
)  # fmt: skip
def test_words_of_a_message(content: dict[str, object], words: str) -> None:
    assert text_of_message("chat", dump(content)) == words


def test_a_request_to_the_host_is_no_message() -> None:
    assert text_of_message("system", '{"action":"cancel_task","taskId":"x"}') == ""


def test_a_message_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BadContent):
        text_of_message("chat", "no object")


def test_words_are_bounded() -> None:
    assert len(text_of_row("chat", dump({"text": "x" * 100_000}))) == MAX_CHARACTERS


@given(st.sampled_from(["chat", "task", "webhook", "system", "new"]), st.text(max_size=200))
@settings(deadline=None, max_examples=100)
def test_any_row_has_words_or_none(kind: str, content: str) -> None:
    assert isinstance(text_of_row(kind, content), str)
    sender_of_row(kind, content)
