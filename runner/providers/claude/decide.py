"""What follows from a complete answer of the model (R-238, R-240, R-242, R-243).

Pure. Called by ``engine`` with the stop reason, the blocks and the turn's counters; returns what
to do, with the reason. Tools run for the stop reason ``tool_use`` and no other: after any other
one the input of a call may be half of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.errors import Trouble

MAX_CALLS = 200
MAX_PAUSES = 10
MAX_TRUNCATIONS = 3


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened in this turn, the answer at hand included."""

    calls: int = 1
    pauses: int = 0
    truncations: int = 0
    window_exceeded: int = 0


@dataclass(frozen=True, slots=True)
class RunTools:
    calls: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """A server-side loop paused: the same again, with the answer appended."""


@dataclass(frozen=True, slots=True)
class Finish:
    reason: str


@dataclass(frozen=True, slots=True)
class ContinueTruncated:
    """``cut_calls`` get an answer that says so; without any, a note asks to go on."""

    cut_calls: tuple[str, ...]
    because: str = "max_tokens"


@dataclass(frozen=True, slots=True)
class Refused:
    category: str
    explanation: str


@dataclass(frozen=True, slots=True)
class CompactAndRetry:
    """The window is full; the answer is thrown away."""


@dataclass(frozen=True, slots=True)
class Fail:
    trouble: Trouble
    reason: str


Decision = RunTools | Resume | Finish | ContinueTruncated | Refused | CompactAndRetry | Fail


def decide_answer(
    stop_reason: str | None,
    blocks: Sequence[Mapping[str, object]],
    counters: Counters,
    stop_details: Mapping[str, object] | None = None,
) -> Decision:
    """``counters`` count the answer at hand in the field that belongs to its stop reason."""
    calls = tuple(block for block in blocks if block.get("type") == "tool_use")
    match stop_reason:
        case None:
            return Fail(Trouble.NETWORK, "the answer has no stop reason")
        case "tool_use":
            return RunTools(calls) if calls else _without_calls(blocks)
        case "pause_turn":
            return Resume() if counters.pauses <= MAX_PAUSES else Finish("pause_turn")
        case "max_tokens":
            return _truncated(calls, counters)
        case "refusal":
            return _refused(stop_details or {})
        case "model_context_window_exceeded":
            if counters.window_exceeded <= 1:
                return CompactAndRetry()
            return Fail(Trouble.TOO_LARGE, "the window is full even after a compaction")
        case "end_turn" | "stop_sequence":
            return _finished(stop_reason, calls, counters)
        case _:
            return _unknown(stop_reason, blocks, counters)


def _truncated(calls: tuple[Mapping[str, object], ...], counters: Counters) -> Decision:
    if counters.truncations > MAX_TRUNCATIONS:
        return Finish("max_tokens")
    return ContinueTruncated(_ids(calls))


def _finished(
    stop_reason: str, calls: tuple[Mapping[str, object], ...], counters: Counters
) -> Decision:
    """Some compatible servers end a turn with calls in it; those are never run (R-236)."""
    if not calls or counters.truncations > MAX_TRUNCATIONS:
        return Finish(stop_reason)
    return ContinueTruncated(_ids(calls), because=stop_reason)


def _refused(details: Mapping[str, object]) -> Refused:
    category, explanation = details.get("category"), details.get("explanation")
    return Refused(
        category if isinstance(category, str) else "",
        explanation if isinstance(explanation, str) else "",
    )


def _without_calls(blocks: Sequence[Mapping[str, object]]) -> Decision:
    if _has_text(blocks):
        return Finish("end_turn")
    return Fail(Trouble.UNEXPECTED, "the model wanted tools but named none")


def _unknown(
    stop_reason: str, blocks: Sequence[Mapping[str, object]], counters: Counters
) -> Decision:
    if not _has_text(blocks):
        return Fail(Trouble.UNEXPECTED, f"unknown stop reason {stop_reason[:60]!r} without text")
    calls = tuple(block for block in blocks if block.get("type") == "tool_use")
    return _finished(stop_reason, calls, counters)


def _ids(calls: tuple[Mapping[str, object], ...]) -> tuple[str, ...]:
    return tuple(str(call.get("id") or "") for call in calls)


def _has_text(blocks: Sequence[Mapping[str, object]]) -> bool:
    texts = (block.get("text") for block in blocks if block.get("type") == "text")
    return any(isinstance(text, str) and text.strip() for text in texts)
