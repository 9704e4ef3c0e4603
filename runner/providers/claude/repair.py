"""Makes a list of messages one that the API accepts. Pure.

Called by the conversation for every view of its list. A list that is in order comes back as it is,
object by object, because nothing that was sent may change (R-261). What a kill or an abort can
leave behind is put right: calls without answer, answers without call, empty content, neighbours of
one role (R-246).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from runner.providers.claude.records import Json, Message, content_blocks

INTERRUPTED = (
    "The call was interrupted before its result was stored; whether it took effect is unknown."
    " Check before you repeat it."
)


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A tool call of the last assistant message without a result."""

    id: str
    name: str


def tool_calls(message: Mapping[str, object]) -> tuple[OpenCall, ...]:
    """The client tool calls of a message, in order."""
    if message.get("role") != "assistant":
        return ()
    return tuple(
        OpenCall(str(block.get("id", "")), str(block.get("name", "")))
        for block in content_blocks(message)
        if block.get("type") == "tool_use"
    )


def open_calls(messages: Sequence[Message]) -> tuple[OpenCall, ...]:
    """Those of the last message; all others are answered in a valid list."""
    return tool_calls(messages[-1]) if messages else ()


def result_block(call_id: str, text: str, *, is_error: bool = False) -> Json:
    block: Json = {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": [{"type": "text", "text": text or "(no output)"}],
    }
    return {**block, "is_error": True} if is_error else block


def results_message(calls: Sequence[OpenCall], answers: Mapping[str, str]) -> Message:
    """Answers for calls that nobody can run any more; those not in ``answers`` are unknown."""
    blocks = [
        result_block(call.id, answers[call.id])
        if call.id in answers
        else result_block(call.id, INTERRUPTED, is_error=True)
        for call in calls
    ]
    return {"role": "user", "content": blocks}


def valid_messages(messages: Sequence[Message]) -> list[Message]:
    """Roles joined, calls answered in the next user message with the results first, nothing empty.

    Calls of the last message stay open: their answers must be stored before anything is sent.
    """
    result: list[Message] = []
    for message in join_roles([item for item in messages if not _is_empty(item)]):
        expected = tool_calls(result[-1]) if result else ()
        if message.get("role") == "user":
            answering = _answering(message, expected)
            if not _is_empty(answering):
                result.append(answering)
            continue
        if expected:
            result.append(results_message(expected, {}))
        result.append(message)
    return join_roles(result)


def join_roles(messages: Sequence[Message]) -> list[Message]:
    """Neighbours of one role become one message; a lone one stays the same object."""
    runs = (list(run) for _, run in groupby(messages, key=lambda message: message.get("role")))
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _joined(run: Sequence[Message]) -> Message:
    return {**run[0], "content": [block for message in run for block in content_blocks(message)]}


def _answering(message: Message, expected: Sequence[OpenCall]) -> Message:
    """The user message with exactly the expected results in front, and no empty text."""
    blocks = content_blocks(message)
    given: dict[str, Json] = {}
    for block in blocks:
        if block.get("type") == "tool_result":
            given.setdefault(str(block.get("tool_use_id")), block)
    results = [
        given.get(call.id) or result_block(call.id, INTERRUPTED, is_error=True) for call in expected
    ]
    others = [
        block for block in blocks if block.get("type") != "tool_result" and not _is_blank(block)
    ]
    wanted = results + others
    return message if wanted == blocks else {**message, "content": wanted}


def _is_empty(message: Mapping[str, object]) -> bool:
    """Content that the API refuses: none, or for a user only blank text."""
    blocks = content_blocks(message)
    if message.get("role") == "assistant":
        return not blocks
    return all(_is_blank(block) for block in blocks)


def _is_blank(block: Mapping[str, object]) -> bool:
    return block.get("type") == "text" and not str(block.get("text") or "").strip()
