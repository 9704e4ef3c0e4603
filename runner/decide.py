"""Decides what becomes of a batch and of a failure. Called by the loop; reads and writes nothing.

A ``/clear`` divides the batch: what stands before it belongs to the conversation that is
forgotten (R-72). While a query is open the stream has to end first, with every row still pending,
so that the order of messages and commands stays the order in which people wrote them (R-80).
Commands that only look or stop are answered at once, whatever runs (R-311).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from contract.commands import MEANINGLESS
from contract.inbound.row import InboundRow
from runner.errors import Trouble
from runner.incoming import Incoming

CLEAR = "/clear"
STOP = "/stop"
COMPACT = "/compact"

CLEARED_TEXT = "The conversation has been cleared. My memory files are untouched."
STOPPED_TEXT = "Stopped."
NOTHING_TO_STOP_TEXT = "Nothing is running."


class Stream(StrEnum):
    """The provider's stream. FULL: enough is waiting in it; ENDING: it takes no more."""

    NONE = "none"
    OPEN = "open"
    FULL = "full"
    ENDING = "ending"


class Role(StrEnum):
    """What a row is to us. ASK: the provider answers it, whatever runs; DULL: one line does."""

    MESSAGE = "message"
    CLEAR = "clear"
    COMPACT = "compact"
    STOP = "stop"
    ASK = "ask"
    DULL = "dull"


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """``omitted`` are ids of context rows that found no place in the batch (R-40).

    ``commands`` are the provider's; other slash words are ordinary messages (R-131).
    """

    items: tuple[Incoming, ...]
    omitted: tuple[str, ...] = ()
    stream: Stream = Stream.NONE
    turn_running: bool = False
    commands: frozenset[str] = frozenset()


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
    """``settle`` is acknowledged unseen; ``left`` says that rows of this batch stay pending.

    ``commands`` are claimed and carried out by the provider, one after the other.
    """

    items: tuple[Incoming, ...] = ()
    settle: tuple[str, ...] = ()
    omitted: int = 0
    replies: tuple[CommandReply, ...] = ()
    forget: bool = False
    interrupt: bool = False
    left: bool = False
    commands: tuple[Incoming, ...] = ()


BatchDecision = Wait | EndQuery | TurnPlan


def decide_batch(facts: BatchFacts) -> BatchDecision:
    """What to do with the rows of one poll."""
    if not facts.items and not facts.omitted:
        return Wait()
    roles = [role_of(item, facts.commands) for item in facts.items]
    boundary = not {Role.CLEAR, Role.COMPACT}.isdisjoint(roles)
    closed = facts.stream in (Stream.FULL, Stream.ENDING)
    if closed or (facts.stream is Stream.OPEN and boundary):
        if not _AT_ONCE.isdisjoint(roles):
            return _plan_at_once(facts, roles)
        return Wait() if closed else EndQuery()
    if Role.CLEAR in roles:
        return _plan_clear(facts, roles)
    if roles and roles[0] is Role.COMPACT:
        return TurnPlan(settle=facts.omitted, commands=facts.items[:1], left=len(facts.items) > 1)
    end = roles.index(Role.COMPACT) if boundary else len(roles)
    return _plan_messages(facts, roles[:end], left=end < len(roles))


def role_of(item: Incoming, commands: frozenset[str]) -> Role:
    """By the first word alone, and only if it is exactly a command (R-71)."""
    command = item.command
    if command is None:
        return Role.MESSAGE
    if command.word in _ROLES:
        return _ROLES[command.word]
    if command.word in commands:
        return Role.COMPACT if command.word == COMPACT else Role.ASK
    return Role.DULL if command.word in MEANINGLESS else Role.MESSAGE


def routing_row(items: tuple[Incoming, ...]) -> InboundRow | None:
    """The row that answers and errors refer to: the newest that woke us, chat first (R-68)."""
    waking = [item for item in items if item.row.trigger]
    for candidates in ([item for item in waking if item.is_chat], waking, items[:1]):
        if candidates:
            return candidates[-1].answered
    return None


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """``notified``: they were told of a failure a short while ago (R-92, R-317)."""

    session_invalid: bool
    has_continuation: bool
    retried: bool
    routing: InboundRow | None
    notified: bool = False
    trouble: Trouble = Trouble.UNEXPECTED


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
    invalid = facts.session_invalid and facts.has_continuation
    if invalid and not facts.retried:
        return RetryFresh()
    forget = invalid or (facts.trouble is Trouble.TOO_LARGE and facts.has_continuation)
    if facts.routing is None:
        return SettleSilently(forget)
    if facts.notified:
        return SettleSilently(forget, "told already")
    return TellUser(facts.routing, forget)


_ROLES = {CLEAR: Role.CLEAR, STOP: Role.STOP}
_AT_ONCE = frozenset({Role.STOP, Role.ASK, Role.DULL})


def _plan_at_once(facts: BatchFacts, roles: list[Role]) -> TurnPlan:
    """Only what needs no stream; everything else stays pending."""
    asked = tuple(i for i, r in zip(facts.items, roles, strict=True) if r is Role.ASK)
    done = tuple(
        i.row.id for i, r in zip(facts.items, roles, strict=True) if r in (Role.STOP, Role.DULL)
    )
    return TurnPlan(
        settle=done,
        replies=_replies(facts, roles),
        interrupt=Role.STOP in roles and facts.turn_running,
        left=True,
        commands=asked,
    )


def _plan_clear(facts: BatchFacts, roles: list[Role]) -> TurnPlan:
    """The last ``/clear`` counts. Questions before it are answered first, by what they ask of."""
    last = max(index for index, role in enumerate(roles) if role is Role.CLEAR)
    asked = tuple(i for i, r in zip(facts.items[:last], roles, strict=False) if r is Role.ASK)
    if asked:
        return TurnPlan(commands=asked, left=True)
    end = next(
        (n for n in range(last + 1, len(roles)) if roles[n] in (Role.ASK, Role.COMPACT)),
        len(roles),
    )
    items = facts.items[:end]
    following = _messages(items[last + 1 :], roles[last + 1 : end])
    return TurnPlan(
        items=_waking(following),
        settle=(*facts.omitted, *_without(items, following)),
        replies=_replies(facts, roles[:end]),
        forget=True,
        left=end < len(roles),
    )


def _plan_messages(facts: BatchFacts, roles: list[Role], *, left: bool) -> TurnPlan:
    items = facts.items[: len(roles)]
    messages = _messages(items, roles)
    asked = tuple(i for i, r in zip(items, roles, strict=True) if r is Role.ASK)
    return TurnPlan(
        items=_waking(messages),
        settle=(*facts.omitted, *_without(items, (*messages, *asked))),
        omitted=len(facts.omitted),
        replies=_replies(facts, roles),
        interrupt=Role.STOP in roles and facts.turn_running,
        left=left,
        commands=asked,
    )


def _messages(items: tuple[Incoming, ...], roles: list[Role]) -> tuple[Incoming, ...]:
    return tuple(i for i, r in zip(items, roles, strict=True) if r is Role.MESSAGE)


def _waking(items: tuple[Incoming, ...]) -> tuple[Incoming, ...]:
    """Context alone stays pending: a command beside it does not wake the agent (R-67)."""
    return items if any(item.row.trigger for item in items) else ()


def _without(items: tuple[Incoming, ...], taken: tuple[Incoming, ...]) -> tuple[str, ...]:
    ids = {item.row.id for item in taken}
    return tuple(item.row.id for item in items if item.row.id not in ids)


def _replies(facts: BatchFacts, roles: list[Role]) -> tuple[CommandReply, ...]:
    """To the commands that need nobody but us."""
    found = []
    for item, role in zip(facts.items, roles, strict=False):
        match role:
            case Role.CLEAR:
                # In a plan that waits for the stream's end it is not carried out yet.
                if facts.stream is Stream.NONE:
                    found.append(CommandReply(item.row, CLEARED_TEXT))
            case Role.STOP:
                text = STOPPED_TEXT if facts.turn_running else NOTHING_TO_STOP_TEXT
                found.append(CommandReply(item.row, text))
            case Role.DULL:
                found.append(CommandReply(item.row, _dull_text(item)))
    return tuple(found)


def _dull_text(item: Incoming) -> str:
    word = item.command.word if item.command is not None else "This"
    return f"{word} does nothing here."
