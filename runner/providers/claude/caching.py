"""Where the cache breakpoints of a request are (R-265, R-266).

Pure. Called by ``request`` with copies of nothing: a marked block is a new dictionary, the stored
one stays as it is. Of the four that the API allows, one closes the system prompt; the others are at
the ends of user messages: the newest, the one before it (where the last request had its own, so
that a step of any length still finds it) and the last one before this turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.providers.claude.message import Block

Message = dict[str, object]

SHORT: Block = {"type": "ephemeral"}
LONG: Block = {"type": "ephemeral", "ttl": "1h"}
TURNS_FOR_LONG = 2
"""So many turns within an hour pay for the dearer entry."""


@dataclass(frozen=True, slots=True)
class Markers:
    """``turn_start``: index of the message that began this turn. ``long``: an hour, not minutes."""

    turn_start: int = 0
    long: bool = False


def mark_system(system: Sequence[Block], markers: Markers) -> list[Block]:
    marked = [dict(block) for block in system]
    if marked:
        marked[-1]["cache_control"] = dict(LONG if markers.long else SHORT)
    return marked


def mark_messages(messages: Sequence[Message], markers: Markers) -> list[Message]:
    """The same messages; those with a marker are copies."""
    marked = list(messages)
    for index in _places(messages, markers.turn_start):
        marked[index] = _marked(messages[index])
    return marked


def _places(messages: Sequence[Message], turn_start: int) -> tuple[int, ...]:
    ends = [
        index
        for index, message in enumerate(messages)
        if message.get("role") == "user" and _last_markable(message) is not None
    ]
    before_turn = [index for index in ends[:-2] if index < turn_start]
    return tuple(before_turn[-1:] + ends[-2:])


def _last_markable(message: Mapping[str, object]) -> int | None:
    """The last block if it can carry a marker; thinking and empty text cannot."""
    content = message.get("content")
    if isinstance(content, str):
        return 0 if content.strip() else None
    if not isinstance(content, list) or not content:
        return None
    block = content[-1]
    if not isinstance(block, dict) or block.get("type") in ("thinking", "redacted_thinking"):
        return None
    if block.get("type") == "text" and not str(block.get("text") or "").strip():
        return None
    return len(content) - 1


def _marked(message: Message) -> Message:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    assert isinstance(blocks, list)
    last = {**blocks[-1], "cache_control": dict(SHORT)}
    return {**message, "content": [*blocks[:-1], last]}
