"""How many tokens something is likely to be, and when there are too many (R-280, R-281). Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from runner.providers.claude.capabilities import Capabilities
from runner.providers.claude.records import Message, content_blocks

CHARACTERS_PER_TOKEN = 3.5
IMAGE_TOKENS = 1_600
DOCUMENT_TOKENS_PER_BYTE = 1 / 20
"""A page of a PDF has some 60 KB and costs up to 3,000 tokens."""
DEFAULT_WINDOW = 165_000
SHARE_OF_CONTEXT = 0.85
SHARE_BETWEEN_TURNS = 0.8
SMALLEST_WINDOW = 8_000
_MEDIA = ("image", "document")


def estimate_messages(messages: Sequence[Message]) -> int:
    return sum(estimate_message(message) for message in messages)


def estimate_message(message: Mapping[str, object]) -> int:
    return sum(estimate_block(block) for block in content_blocks(message))


def estimate_block(block: Mapping[str, object]) -> int:
    """Media by their kind, everything else by its length."""
    kind = block.get("type")
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "document":
        return max(IMAGE_TOKENS, math.ceil(_data_bytes(block) * DOCUMENT_TOKENS_PER_BYTE))
    inner = block.get("content")
    if kind == "tool_result" and isinstance(inner, list):
        return sum(estimate_block(item) for item in inner if isinstance(item, dict))
    text = block.get("text")
    return estimate_text(text if isinstance(text, str) else _as_text(block))


def estimate_text(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def estimate_json(value: object) -> int:
    """For system blocks and tools."""
    return estimate_text(_as_text(value))


def used_tokens(usage: Mapping[str, object]) -> int:
    """What the context holds after a response: all input and the output (R-280).

    Server tool loops sample several times in one response; the last one counts then.
    """
    iterations = usage.get("iterations")
    counted: Mapping[str, object] = usage
    if isinstance(iterations, list):
        samples = [
            item
            for item in iterations
            if isinstance(item, dict) and str(item.get("type", "")).endswith("message")
        ]
        own = [item for item in samples if item.get("type") != "advisor_message"]
        counted = own[-1] if own else usage
    keys = (
        "input_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "output_tokens",
    )
    return sum(value for key in keys if isinstance(value := counted.get(key), int))


def compaction_threshold(
    capabilities: Capabilities, max_tokens: int, window: str | None = None
) -> int:
    """``window`` is CLAUDE_CODE_AUTO_COMPACT_WINDOW as it stands in the environment."""
    wished = DEFAULT_WINDOW
    if window is not None and window.strip().isascii() and window.strip().isdigit():
        wished = int(window) or DEFAULT_WINDOW
    room = int(capabilities.context_tokens * SHARE_OF_CONTEXT) - max_tokens
    return max(min(wished, room), SMALLEST_WINDOW)


class Moment(Enum):
    BEFORE_REQUEST = "before a request"
    TURN_ENDED = "after a turn"


@dataclass(frozen=True, slots=True)
class Budget:
    """``used`` of the last response, ``added`` the estimate of what came since."""

    used: int
    added: int
    threshold: int
    moment: Moment
    input_waiting: bool = False
    open_calls: bool = False


def should_compact(budget: Budget) -> bool:
    """R-280, R-281. Never with unanswered tool calls."""
    if budget.open_calls:
        return False
    total = budget.used + budget.added
    if budget.moment is Moment.TURN_ENDED:
        return not budget.input_waiting and total > budget.threshold * SHARE_BETWEEN_TURNS
    return total > budget.threshold


def _data_bytes(block: Mapping[str, object]) -> int:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    return len(data) * 3 // 4 if isinstance(data, str) else 0


def _as_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
