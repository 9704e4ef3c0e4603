"""Builders for conversations of the provider ``claude``: messages, heads, a recorded history."""

from collections.abc import Sequence
from pathlib import Path

from runner.providers.claude.conversation import Conversation, ConversationFacts
from runner.providers.claude.epoch import Prefix
from runner.providers.claude.records import Json, Message, TurnStatus, UserKind
from runner.providers.claude.repair import result_block

FACTS = ConversationFacts(runner_version="test", lock_seconds=0.2)


def user(text: str) -> Message:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def system(text: str) -> Message:
    return {"role": "system", "content": [{"type": "text", "text": text}]}


def assistant(text: str = "", calls: Sequence[str] = (), thinking: str | None = None) -> Message:
    """``calls`` are ids of tool calls."""
    blocks: list[Json] = []
    if thinking is not None:
        blocks.append({"type": "thinking", "thinking": thinking, "signature": "c2lnbmF0dXJl"})
    if text:
        blocks.append({"type": "text", "text": text})
    blocks += [
        {"type": "tool_use", "id": call, "name": "bash", "input": {"command": f"echo {call}"}}
        for call in calls
    ]
    return {"role": "assistant", "content": blocks}


def results(*calls: str, text: str = "") -> Message:
    blocks: list[Json] = [result_block(call, f"output of {call}") for call in calls]
    if text:
        blocks.append({"type": "text", "text": text})
    return {"role": "user", "content": blocks}


def prefix(model: str = "claude-sonnet-5-5", harness: str = "You work.", tool: str = "") -> Prefix:
    tools: tuple[Json, ...] = ({"name": tool, "input_schema": {"type": "object"}},) if tool else ()
    return Prefix(
        model=model,
        effort=None,
        thinking={"type": "adaptive"},
        system=(
            {"type": "text", "text": harness},
            {"type": "text", "text": "Memory: nothing."},
            {"type": "text", "text": "Destinations: `family`."},
        ),
        labels=("harness", "memory", "addendum"),
        tools=tools,
    )


def say(
    conversation: Conversation, text: str, *, stop: str = "end_turn", calls: Sequence[str] = ()
) -> int:
    """An answer of the model; its record's number."""
    message = assistant(text, calls, thinking=f"about {text}")
    record = conversation.append_assistant(
        message, stop_reason=stop, response_id="msg_1", model="claude-sonnet-5-5"
    )
    return record.n


def exchange(conversation: Conversation, number: int) -> None:
    """One ordinary turn with two tool calls."""
    inbound = f"m-{number}"
    first, second = f"toolu_{number}a", f"toolu_{number}b"
    conversation.append_user(user(f"question {number} ✓"), [inbound])
    say(conversation, f"looking {number}", stop="tool_use", calls=[first, second])
    conversation.append_user(
        results(first, second, text=f"by the way {number}"), [], UserKind.TOOL_RESULTS
    )
    answered = say(conversation, f'<message to="family">answer {number}</message>')
    conversation.dispatch(answered, 0, "family")
    conversation.turn_end([inbound], TurnStatus.OK)


def recorded(folder: Path, turns: int = 2) -> Conversation:
    """A conversation with a head and some turns; open."""
    conversation = Conversation.create(folder, FACTS)
    conversation.start_epoch(prefix(), reason="first")
    for number in range(turns):
        exchange(conversation, number)
    return conversation


def check_request(messages: Sequence[Message]) -> None:
    """What the API demands of a list of messages; raises AssertionError."""
    assert messages[0]["role"] in ("user", "assistant")
    for before, message in zip([None, *messages], messages, strict=False):
        content = message["content"]
        assert isinstance(content, list)
        assert content, "a message without content"
        if before is not None:
            assert before["role"] != message["role"], "two messages of one role"
        if message["role"] == "user":
            _check_results(before, content)
    assert messages[-1]["role"] in ("user", "system"), "nothing to answer"


def _check_results(before: Message | None, content: list[Json]) -> None:
    kinds = [block["type"] == "tool_result" for block in content]
    assert kinds == sorted(kinds, reverse=True), "results do not come first"
    given = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
    called = before["content"] if before and before["role"] == "assistant" else []
    assert isinstance(called, list)
    assert given == [block["id"] for block in called if block["type"] == "tool_use"]
    for block in content:
        if block["type"] == "text":
            assert str(block["text"]).strip(), "a blank text"
