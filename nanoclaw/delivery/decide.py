"""Decides what happens to an outgoing message: where it may go, and what a failure leads to.

Pure. ``decide_target`` judges a row that an agent wrote, ``decide_after_failure`` a platform's
answer. The classes of failures and their treatment are the closed set of the channel contract.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contract.address import AGENT_CHANNEL
from contract.inbound.row import MessageKind
from contract.outbound.row import OutboundRow
from nanoclaw.events import DeliveryFailed, FailureClass

RETRY_SECONDS = (1, 2, 5, 15, 60)
LONG_RETRY_SECONDS = 300
WAIT_SECONDS = 5
"""How soon a message is tried again whose channel is not there; no attempt is counted."""
RATE_LIMIT_MARGIN = 1.05
LIFETIME = timedelta(hours=24)
"""A message that could not be delivered for this long ends as failed (C-37)."""


class RefusedTarget(StrEnum):
    NO_ADDRESS = "the message names no chat"
    UNKNOWN_CHAT = "the chat it is addressed to is not registered"
    NOT_PERMITTED = "this agent may not write to that chat"
    AGENT = "messages between agents are not available in this version"
    SYSTEM = "this system action is not available in this version"


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What the central database says about the address of one row."""

    row: OutboundRow
    chat_known: bool
    is_own_chat: bool
    has_destination: bool


@dataclass(frozen=True, slots=True)
class Send:
    instance: str
    platform_id: str


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: RefusedTarget


TargetDecision = Send | Refuse


def decide_target(facts: TargetFacts) -> TargetDecision:
    """H-122 and H-125: the row of the destination is the permission."""
    row = facts.row
    if row.kind == MessageKind.SYSTEM:
        return Refuse(RefusedTarget.SYSTEM)
    if row.address.channel_type == AGENT_CHANNEL:
        return Refuse(RefusedTarget.AGENT)
    if not row.address.channel_type or not row.address.platform_id:
        return Refuse(RefusedTarget.NO_ADDRESS)
    if not facts.chat_known:
        return Refuse(RefusedTarget.UNKNOWN_CHAT)
    if not (facts.is_own_chat or facts.has_destination):
        return Refuse(RefusedTarget.NOT_PERMITTED)
    return Send(row.address.channel_type, row.address.platform_id)


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


@dataclass(frozen=True, slots=True)
class HoldUncertain:
    """Nobody knows whether it arrived and the channel's policy is not to repeat (C-32)."""


FailureDecision = TryAgain | GiveUp | HoldUncertain

_NOT_COUNTED = (FailureClass.OFFLINE, FailureClass.AUTH, FailureClass.CONFLICT)


def decide_after_failure(
    failure: DeliveryFailed, *, attempts: int, expires_at: datetime, now: datetime
) -> FailureDecision:
    """``attempts`` counts those made before this one. Expired messages are given up."""
    if failure.failure is FailureClass.UNCERTAIN:
        return HoldUncertain()
    if failure.failure is FailureClass.PERMANENT or now >= expires_at:
        return GiveUp()
    if failure.failure is FailureClass.RATE_LIMITED:
        hinted = (failure.retry_after_ms or WAIT_SECONDS * 1000) * RATE_LIMIT_MARGIN
        return TryAgain(now + timedelta(milliseconds=hinted), counts=False)
    if failure.failure in _NOT_COUNTED:
        return TryAgain(now + timedelta(seconds=WAIT_SECONDS), counts=False)
    return TryAgain(now + timedelta(seconds=retry_seconds(attempts)), counts=True)


def retry_seconds(attempts: int) -> int:
    """Delay after ``attempts`` earlier ones: 1, 2, 5, 15, 60 s, then every five minutes."""
    return RETRY_SECONDS[attempts] if attempts < len(RETRY_SECONDS) else LONG_RETRY_SECONDS
