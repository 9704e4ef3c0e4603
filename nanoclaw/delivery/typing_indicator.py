"""Decides whether a chat sees that its agent is at work (H-135 to H-139, C-69).

Pure: one state per running session, facts in, state and signal out. ``typing`` asks every few
seconds. Shown while the agent's heartbeat is fresh; not for a while after a delivered message,
because platforms clear the sign themselves then; taken back when the turn has ended.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from contract.address import Address

REFRESH_SECONDS = 4.0
FRESH_SECONDS = 6.0
"""A heartbeat that is older belongs to no turn."""
PAUSE_SECONDS = 10.0
AHEAD_SECONDS = 2.0
"""Clocks of host and container may differ a little; a time further ahead is made up."""


class Signal(StrEnum):
    NONE = "none"
    SHOW = "show"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Typing:
    """``address`` is the newest source when the turn began; None between turns.

    Times are of the monotonic clock.
    """

    address: Address | None = None
    shown_at: float | None = None
    paused_until: float = 0.0

    @property
    def in_turn(self) -> bool:
        return self.address is not None


@dataclass(frozen=True, slots=True)
class TypingFacts:
    """``heartbeat_age`` in seconds, None without one; ``source`` is read when a turn begins."""

    now: float
    heartbeat_age: float | None
    source: Address | None = None
    refresh_seconds: float = REFRESH_SECONDS
    held_back: bool = False
    """A message to the chat waits for the platform's permission to go on."""


def is_fresh(heartbeat_age: float | None) -> bool:
    return heartbeat_age is not None and -AHEAD_SECONDS <= heartbeat_age < FRESH_SECONDS


def decide_typing(typing: Typing, facts: TypingFacts) -> tuple[Typing, Signal]:
    """``facts.source`` counts only while no turn is known."""
    if not is_fresh(facts.heartbeat_age):
        shown = typing.in_turn and typing.shown_at is not None
        return Typing(), Signal.STOP if shown else Signal.NONE
    if not typing.in_turn:
        typing = Typing(address=facts.source)
    if typing.address is None or facts.now < typing.paused_until or facts.held_back:
        return typing, Signal.NONE
    if typing.shown_at is not None and facts.now - typing.shown_at < facts.refresh_seconds:
        return typing, Signal.NONE
    return replace(typing, shown_at=facts.now), Signal.SHOW


def note_delivered(typing: Typing, now: float, *, completes: bool) -> Typing:
    """A message of the session was seen. The last one of an answer ends the sign for good."""
    if completes:
        return replace(typing, shown_at=None, paused_until=now + PAUSE_SECONDS)
    return replace(typing, paused_until=now + PAUSE_SECONDS)
