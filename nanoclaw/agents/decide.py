"""Decides whether a message between two agents passes, and how far its chain has come.

Pure; called by ``agents.messages`` with facts from the database. Two limits keep agents from
talking without end (W-13): the number of hops since a person last had a part in it, and the
messages of one pair in a while. Whoever runs into one brakes the pair; the brake opens after quiet.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contract.inbound.row import InboundRow
from nanoclaw.policy.taint import OTHER_AGENT, unite

MAX_HOPS = 16
PAIR_MESSAGES = 30
PAIR_WINDOW = timedelta(minutes=10)
QUIET = timedelta(minutes=10)
MAX_CHAIN_ID = 100
FILE_TAINT = "file"


class Refusal(StrEnum):
    """Why there is nobody that this message may go to."""

    NO_TARGET = "no_target"
    UNKNOWN_TARGET = "unknown_target"
    NOT_PERMITTED = "not_permitted"


class Limit(StrEnum):
    HOPS = "hops"
    RATE = "rate"
    BRAKED = "braked"


@dataclass(frozen=True, slots=True)
class PassageFacts:
    """``hop`` is that of the message on its arrival; ``recent`` what passed in ``PAIR_WINDOW``;
    ``tried_at`` is None without a brake.
    """

    now: datetime
    target_id: str | None
    target_exists: bool
    is_self: bool
    has_destination: bool
    hop: int
    recent: int
    tried_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """``opens``: there was a brake, and it has been quiet for long enough."""

    opens: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Brake:
    """It does not pass, and from now on nothing does. ``limit`` is HOPS or RATE."""

    limit: Limit


@dataclass(frozen=True, slots=True)
class StillBraked:
    """It does not pass, and everybody has been told."""


Passage = Pass | Refuse | Brake | StillBraked


def decide_passage(facts: PassageFacts) -> Passage:
    """Permission first (H-241): a stranger's attempts change nothing between others."""
    if not facts.target_id:
        return Refuse(Refusal.NO_TARGET)
    if not facts.target_exists:
        return Refuse(Refusal.UNKNOWN_TARGET)
    if not (facts.is_self or facts.has_destination):
        return Refuse(Refusal.NOT_PERMITTED)
    braked = facts.tried_at is not None
    if facts.tried_at is not None and facts.now - facts.tried_at < QUIET:
        return StillBraked()
    if facts.hop > MAX_HOPS:
        return Brake(Limit.HOPS)
    if facts.recent >= PAIR_MESSAGES:
        return Brake(Limit.RATE)
    return Pass(opens=braked)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a message stands in its chain, on its arrival."""

    chain_id: str
    hop: int


def next_link(
    said_chain: str | None, said_hop: int, answered: InboundRow | None, new_chain: str
) -> Link:
    """What the sender says of its message, and what our own row about the answered one says.

    The first message of a chain makes it. A sender may count too high, never too low: the row that
    it answers is in a file that it cannot write.
    """
    known_chain = answered.chain_id if answered is not None else None
    known_hop = answered.hop if answered is not None else 0
    chain = known_chain or (said_chain or "")[:MAX_CHAIN_ID] or new_chain
    return Link(chain, min(max(said_hop, known_hop, 0), MAX_HOPS * 1000) + 1)


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """The row that is answered, and the newest one from the agent that is written to."""

    answered: InboundRow | None
    newest: InboundRow | None


def origin_of(path: ReturnPath) -> str | None:
    """The session to which an answer goes back, if it is one (H-242, steps 1 and 2)."""
    answered = path.answered.source_session_id if path.answered is not None else None
    newest = path.newest.source_session_id if path.newest is not None else None
    return answered or newest


def taint_on_arrival(said: str | None, *, files: bool) -> str:
    """What another agent writes is foreign, and so is everything that went into it."""
    return unite(OTHER_AGENT, said, FILE_TAINT if files else None) or OTHER_AGENT
