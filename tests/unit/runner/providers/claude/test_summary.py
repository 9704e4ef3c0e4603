import json
from datetime import UTC, datetime

import pytest
from helpers.claude_memory_build import assistant, results, user

from runner.providers.claude.records import Message, content_blocks
from runner.providers.claude.replay import Entry
from runner.providers.claude.summary import (
    COMPACTION_BETA,
    Cut,
    client_request,
    compaction_note,
    find_cut,
    fresh_start,
    holds_block,
    is_worth_retrying,
    read_block,
    read_summary,
    server_request,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BLOCK: dict[str, object] = {
    "type": "compaction",
    "content": "summary",
    "signature": "abc",
    "encrypted_content": None,
    "tool_changes": [],
}
BASE: dict[str, object] = {
    "model": "m",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s"}],
    "tools": [{"name": "bash"}],
    "messages": [user("a"), assistant("b")],
}


def entries(*kinds: str) -> list[Entry]:
    messages: dict[str, Message] = {
        "assistant": assistant("x"),
        "tool_results": results("t"),
        "compaction": user("<summary>s</summary>"),
    }
    return [
        Entry(n, NOW, 0, messages.get(kind, user("x")), kind) for n, kind in enumerate(kinds, 1)
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), None),
        (("input",), None),
        (("compaction", "input", "note"), None),
        (("input", "assistant"), Cut(2, 2)),
        (("input", "assistant", "input", "note"), Cut(2, 2)),
        (("input", "assistant", "tool_results"), Cut(3, 3)),
        (("input", "assistant", "tool_results", "note"), Cut(4, 4)),
        (("compaction", "input", "assistant", "input"), Cut(3, 3)),
    ],
)
def test_unanswered_input_is_kept_and_results_are_not_torn_off(
    kinds: tuple[str, ...], expected: Cut | None
) -> None:
    assert find_cut(entries(*kinds)) == expected


def test_server_request_sends_the_same_head_and_list() -> None:
    request = server_request(BASE, "keep this")

    assert {key: request[key] for key in BASE} == BASE
    assert request["compaction"] == {"type": "summarize", "instructions": "keep this"}
    assert request["betas"] == [COMPACTION_BETA]
    assert "tool_choice" not in request


def test_client_request_asks_with_the_last_words() -> None:
    request = client_request(BASE, "keep this")

    messages = request["messages"]
    assert isinstance(messages, list)
    assert messages[:2] == BASE["messages"]
    assert "keep this" in json.dumps(messages[2])
    assert request["tool_choice"] == {"type": "none"}
    assert "betas" not in request


def test_request_with_an_older_block_needs_the_beta() -> None:
    block: Message = {"role": "assistant", "content": [BLOCK]}

    assert holds_block([block, user("a")])
    assert not holds_block([user("a")])
    assert not holds_block([])
    request = client_request({**BASE, "messages": [block, user("a")]}, "x")
    assert request["betas"] == [COMPACTION_BETA]


def test_signed_block_is_kept_untouched() -> None:
    message = read_block({"content": [BLOCK], "stop_reason": "compaction"})

    assert message == {"role": "assistant", "content": [BLOCK]}


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"content": []},
        {"content": "text"},
        {"content": [{**BLOCK, "content": None}]},
        {"content": [{**BLOCK, "content": " "}]},
        {"content": [{"type": "text", "text": "hello"}]},
        {"content": [BLOCK, {"type": "text", "text": "hello"}]},
    ],
)
def test_response_without_summary_is_none(response: dict[str, object]) -> None:
    assert read_block(response) is None


def test_own_summary_is_wrapped() -> None:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": " all of it "}]

    message = read_summary({"content": content, "stop_reason": "end_turn"})

    assert message == user("<summary>\nall of it\n</summary>")


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", None, "tool_use"])
def test_half_a_summary_is_none(stop: str | None) -> None:
    content = [{"type": "text", "text": "half of"}]

    assert read_summary({"content": content, "stop_reason": stop}) is None


def test_empty_summary_is_none() -> None:
    assert read_summary({"content": [], "stop_reason": "end_turn"}) is None


def test_errors_that_would_come_again_are_not_repeated() -> None:
    assert is_worth_retrying("compaction_unavailable: try later")
    assert not is_worth_retrying("400 compaction_signature_invalid")


def test_note_tells_the_situation_and_quotes_people_outside_of_it() -> None:
    note = compaction_note(
        "Destinations: `family`.",
        [{"text": "milk", "status": "done"}],
        ["q-1: Go live?"],
        ["job-1: make"],
        '<message id="4" from="family">please</message>',
    )

    told, _, quoted = note.partition("</system>")
    for words in ("`family`", "- [done] milk", "- q-1: Go live?", "- job-1: make", "answering"):
        assert words in told
    assert '<message id="4"' in quoted
    assert "<message" not in told


def test_note_without_anything_is_short() -> None:
    note = compaction_note("", [], [], [], "")

    assert note.startswith("<system>")
    assert note.endswith("</system>")
    assert "todo" not in note


def test_fresh_start_names_the_archive_and_quotes() -> None:
    blocks = content_blocks(fresh_start("User: hi", "2026-11-25-x.md"))

    assert "conversations/2026-11-25-x.md" in str(blocks[0]["text"])
    assert blocks[1]["text"] == "User: hi"
    assert len(content_blocks(fresh_start("", None))) == 1
