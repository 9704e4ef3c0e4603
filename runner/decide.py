"""Decides what becomes of a batch and of a failure. Called by the loop; reads and writes nothing.

A ``/clear`` divides the batch: what stands before it belongs to the conversation that is
forgotten (R-72). While a query is open the stream has to end first, with every row still pending,
so that the order of messages and commands stays the order in which people wrote them (R-80).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from contract.address import AGENT_CHANNEL
from contract.inbound.row import InboundRow
from runner.incoming import Incoming

CLEAR = "/clear"
STOP = "/stop"
RUNNER_COMMANDS = frozenset({CLEAR, STOP})
"""Other slash words are ordinary messages here (R-131)."""

CLEARED_TEXT = "The conversation has been cleared. My memory files are untouched."
STOPPED_TEXT = "Stopped."
NOTHING_TO_STOP_TEXT = "Nothing is running."


class Stream(StrEnum):
    """The provider's stream. FULL: enough is waiting in it; ENDING: it takes no more."""

    NONE = "none"
    OPEN = "open"
    FULL = "full"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """``omitted`` are ids of context rows that found no place in the batch (R-40)."""

    items: tuple[Incoming, ...]
    omitted: tuple[str, ...] = ()
    stream: Stream = Stream.NONE
    turn_running: bool = False


@dataclass(frozen=True, slots=True)
class CommandReply:
    """Goes to where the command came from, as the answer to it (R-73)."""

    row: InboundRow
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes."""


@dataclass(frozen=True, slots=True)
class EndQuery:
    """A command needs the stream to end; all rows stay pending until it has."""


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """``settle`` is acknowledged unseen; ``left`` says that rows of this batch stay pending."""

    items: tuple[Incoming, ...] = ()
    settle: tuple[str, ...] = ()
    omitted: int = 0
    replies: tuple[CommandReply, ...] = ()
    forget: bool = False
    interrupt: bool = False
    left: bool = False


BatchDecision = Wait | EndQuery | TurnPlan


def decide_batch(facts: BatchFacts) -> BatchDecision:
    """What to do with the rows of one poll."""
    words = [_word(item) for item in facts.items]
    stops = tuple(item for item, word in zip(facts.items, words, strict=True) if word == STOP)
    if not facts.items and not facts.omitted:
        return Wait()
    closed = facts.stream in (Stream.FULL, Stream.ENDING)
    if closed or (facts.stream is Stream.OPEN and CLEAR in words):
        if stops:
            return _plan_stops(stops, facts)
        return Wait() if closed else EndQuery()
    start = _after_last_clear(words)
    clears = [item for item, word in zip(facts.items, words, strict=True) if word == CLEAR]
    kept = tuple(
        item
        for item, word in zip(facts.items[start:], words[start:], strict=True)
        if word not in RUNNER_COMMANDS
    )
    taken = {item.row.id for item in kept}
    return TurnPlan(
        items=kept,
        settle=(*facts.omitted, *(i.row.id for i in facts.items if i.row.id not in taken)),
        omitted=0 if clears else len(facts.omitted),
        replies=(
            *(CommandReply(item.row, CLEARED_TEXT) for item in clears),
            *_stop_replies(stops, facts),
        ),
        forget=bool(clears),
        interrupt=bool(stops) and facts.turn_running,
    )


def routing_row(items: tuple[Incoming, ...]) -> InboundRow | None:
    """The row that answers and errors refer to: the newest that woke us, chat first (R-68)."""
    waking = [item for item in items if item.row.trigger]
    for candidates in ([item for item in waking if item.is_chat], waking, items[:1]):
        if candidates:
            return candidates[-1].row
    return None


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """``notified_agent``: that agent was told of a failure a short while ago (R-92)."""

    session_invalid: bool
    has_continuation: bool
    retried: bool
    routing: InboundRow | None
    notified_agent: bool = False


@dataclass(frozen=True, slots=True)
class RetryFresh:
    """The stored conversation is unusable: once more, in a new one."""


@dataclass(frozen=True, slots=True)
class TellUser:
    """Settle the rows with an error message; ``forget`` the conversation as well."""

    routing: InboundRow
    forget: bool


@dataclass(frozen=True, slots=True)
class SettleSilently:
    """Nobody to tell, or an agent that would only answer with an error of its own."""

    forget: bool
    reason: str = field(default="no routing")


FailureDecision = RetryFresh | TellUser | SettleSilently


def decide_failure(facts: FailureFacts) -> FailureDecision:
    """What becomes of the rows of a query that failed (R-91, R-92)."""
    forget = facts.session_invalid and facts.has_continuation
    if forget and not facts.retried:
        return RetryFresh()
    if facts.routing is None:
        return SettleSilently(forget)
    if facts.notified_agent and facts.routing.address.channel_type == AGENT_CHANNEL:
        return SettleSilently(forget, "agent was told already")
    return TellUser(facts.routing, forget)


def _word(item: Incoming) -> str | None:
    command = item.command
    return command.word if command is not None and command.word in RUNNER_COMMANDS else None


def _after_last_clear(words: list[str | None]) -> int:
    return max((index + 1 for index, word in enumerate(words) if word == CLEAR), default=0)


def _plan_stops(stops: tuple[Incoming, ...], facts: BatchFacts) -> TurnPlan:
    return TurnPlan(
        settle=tuple(item.row.id for item in stops),
        replies=_stop_replies(stops, facts),
        interrupt=facts.turn_running,
        left=True,
    )


def _stop_replies(stops: tuple[Incoming, ...], facts: BatchFacts) -> tuple[CommandReply, ...]:
    text = STOPPED_TEXT if facts.turn_running else NOTHING_TO_STOP_TEXT
    return tuple(CommandReply(item.row, text) for item in stops)
