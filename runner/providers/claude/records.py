"""The lines of a conversation file: their shapes, their text, and what a broken one is.

Everything that writes or reads the file uses these. Messages stay in the form of the API, as plain
dictionaries, because what the model said must be echoed exactly as it came (R-236, R-261). A line
is compact JSON with ``t`` (type), ``ts`` and ``n`` (running number); unknown types and keys are
kept by readers, so that a newer runner's file can be read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import parse_text, to_text
from contract.jsontext import storable
from runner.errors import GiveUpError, RunnerError

FORMAT = 1
CONTINUATION_PREFIX = "nc1-"

Json = dict[str, object]
Message = dict[str, object]
"""``{"role": ..., "content": text or list of blocks}``."""


class RecordType(StrEnum):
    HEADER = "header"
    EPOCH = "epoch"
    USER = "user"
    ASSISTANT = "assistant"
    DISPATCH = "dispatch"
    TURN_END = "turn_end"
    COMPACTION = "compaction"
    RETRACT = "retract"
    TASKS = "todo"
    TAINT = "taint"
    USAGE = "usage"
    ERROR = "error"


class UserKind(StrEnum):
    """Why a user message is there."""

    INPUT = "input"
    TOOL_RESULTS = "tool_results"
    NOTE = "note"


class TurnStatus(StrEnum):
    OK = "ok"
    ERROR = "error"
    STOPPED = "stopped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Record:
    """A line that is in the file: its number and when it was written (for an ``Origin``)."""

    n: int
    at: datetime


class StorageError(GiveUpError):
    """The conversation cannot be written (disk full, read-only): the process must end (R-296)."""


class LockedError(GiveUpError):
    """Another process holds the conversation (R-295)."""


class UnusableError(RunnerError):
    """The file is missing, broken, or of another program (R-289, R-292)."""


def owns(continuation: str) -> bool:
    """Whether a stored handle is one of ours (R-57)."""
    return continuation.startswith(CONTINUATION_PREFIX) and continuation.isascii()


def encode(record: Mapping[str, object]) -> bytes:
    """The line with its end. Keys keep their order; lone surrogates become U+FFFD."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return storable(text).encode() + b"\n"


def decode(line: bytes) -> Json:
    """Raises UnusableError."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"a line is no JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("t"), str):
        raise UnusableError("a line is no record")
    if not isinstance(value.get("n"), int) or parse_text(value.get("ts")) is None:
        raise UnusableError("a record has no number or no time")
    return value


def stamp(kind: RecordType, n: int, at: datetime, fields: Mapping[str, object]) -> Json:
    return {"t": kind.value, "ts": to_text(at), "n": n, **fields}


def content_blocks(message: Mapping[str, object]) -> list[Json]:
    """The content as blocks, whichever form it has. Not a copy: never change them."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def joined_text(message: Mapping[str, object]) -> str:
    """The text blocks of a message in their order (R-241)."""
    texts = [block.get("text") for block in content_blocks(message) if block.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def as_strings(value: object) -> tuple[str, ...]:
    """The strings of a list that was read; anything else is left out."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
