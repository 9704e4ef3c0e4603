"""What the desk does next with a card or with one of its copies.

Pure. ``decide_after_search``: every approver was looked for and none could be given the card.
``decide_closing``: a card is over and a copy of it is still somewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from nanoclaw.model import DeliveryState

RETRY_SECONDS = (1, 5, 15, 60, 300)
"""Then every five minutes, until the card expires."""
ESCALATE_AFTER = timedelta(minutes=2)
"""A card that is not out by then goes to the next approver too."""
CLOSING_GIVEN_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """``away``: why somebody could not be asked now. ``refused``: why others never can."""

    away: Sequence[str] = ()
    refused: Sequence[str] = ()
    open_copies: int = 0
    """Copies that somebody has or will get, counted last: one may be refused during the search."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


@dataclass(frozen=True, slots=True)
class LeaveIt:
    """Somebody has it already; there is nobody else to ask."""


SearchDecision = LookAgain | GiveUp | LeaveIt


def decide_after_search(facts: SearchFacts) -> SearchDecision:
    """Patience for channels that are down; an end for everything else (W-39)."""
    if facts.open_copies:
        return LeaveIt()
    if facts.away:
        return LookAgain(facts.away[0])
    if facts.refused:
        return GiveUp(f"nobody who may decide can be reached ({facts.refused[0]})")
    return GiveUp("there is nobody who may decide")


def retry_seconds(attempts: int) -> int:
    """Delay after so many searches in vain."""
    return RETRY_SECONDS[min(attempts, len(RETRY_SECONDS) - 1)]


@dataclass(frozen=True, slots=True)
class ShowOutcome:
    """The channel is asked to change the message."""

    message_id: str


@dataclass(frozen=True, slots=True)
class SayOutcome:
    """The platform gave no id for the message: the outcome is said in words."""


@dataclass(frozen=True, slots=True)
class WaitForDelivery:
    """It is not out yet, and cannot be called back."""


@dataclass(frozen=True, slots=True)
class NothingToClose:
    """It never arrived."""


ClosingDecision = ShowOutcome | SayOutcome | WaitForDelivery | NothingToClose


def decide_closing(state: DeliveryState | None, message_ids: Sequence[str]) -> ClosingDecision:
    """The buttons are on the last part of a long card."""
    match state:
        case None | DeliveryState.FAILED:
            return NothingToClose()
        case DeliveryState.QUEUED | DeliveryState.SENDING:
            return WaitForDelivery()
        case _:
            return ShowOutcome(message_ids[-1]) if message_ids else SayOutcome()
