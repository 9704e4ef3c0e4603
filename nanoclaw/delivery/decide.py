"""Decides what happens to an outgoing message: where it may go, and what a failure leads to.

Pure. ``decide_row`` judges a row that an agent wrote, ``decide_after_failure`` a platform's
answer. The classes of failures and their treatment are the closed set of the channel contract.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contract.actions import SystemAction, UnknownAction
from contract.address import AGENT_CHANNEL
from contract.content import (
    Card,
    CardOut,
    ChatOut,
    EditOut,
    OutboundContent,
    QuestionCard,
    ReactionOut,
)
from contract.errors import BadContent
from contract.outbound.row import OutboundRow
from nanoclaw.events import DeliveryFailed, FailureClass
from nanoclaw.policy.taint import Act, needs_approval

RETRY_SECONDS = (1, 2, 5, 15, 60)
LONG_RETRY_SECONDS = 300
WAIT_SECONDS = 5
"""How soon a message is tried again whose channel is not there; no attempt is counted."""
RATE_LIMIT_MARGIN = 1.05
LIFETIME = timedelta(hours=24)
"""A message that could not be delivered for this long ends as failed (C-37)."""
MAX_LATER = timedelta(days=366)
"""How far ahead a message may be written; beyond the calendar's end there is no time at all."""
MAX_CONTENT_BYTES = 768 * 1024
"""Of the content as it travels inside a frame, which has 1 MiB with everything else."""
MAX_SHOWN_CHARACTERS = 10_000
"""What a person has to allow must be shown whole; a longer text cannot be asked about."""
MAX_FILES = 20
_ACTION = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Refusal(StrEnum):
    """Why a row goes nowhere; the words are for its agent."""

    NO_ADDRESS = "the message names no chat"
    UNKNOWN_CHAT = "the chat it is addressed to is not registered"
    NOT_PERMITTED = "this agent may not write to that chat"
    TOO_LARGE = "the message is too long; send a shorter one, or a file"
    TOO_MANY_FILES = "the message has too many files; send them in several messages"
    EMPTY = "there is nothing in it that can be shown"
    NO_ACTION = "the request has no valid action"
    QUESTION = "a question needs a title and at least one option"
    NO_TARGET = "it does not say which message it is about"
    TOO_FAR_AHEAD = "it is to be sent more than a year from now; schedule a task instead"
    TOO_LONG_TO_ASK = (
        "a person would have to allow it, because the turn has read foreign content, and it is too"
        " long to be shown to them; send a shorter one"
    )


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What is known about one row. ``content`` is what was wrong with it, where it is no content.

    ``is_third_party``: the address is neither the session's own chat nor where the messages came
    from that the turn is about. ``taint`` is the turn's, as far as anybody knows.
    """

    row: OutboundRow
    content: OutboundContent | BadContent
    content_bytes: int = 0
    chat_known: bool = False
    is_own_chat: bool = False
    has_destination: bool = False
    is_third_party: bool = False
    taint: str | None = None
    guarded: bool = True
    too_far_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """To a chat."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before a person has allowed it."""


@dataclass(frozen=True, slots=True)
class RunAction:
    """A request to the host, by its name."""

    action: str


@dataclass(frozen=True, slots=True)
class Forward:
    """To another agent."""


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: str


RowDecision = Send | Hold | RunAction | Forward | Refuse


def decide_row(facts: RowFacts) -> RowDecision:
    """H-122 with H-125: the row of the destination is the permission."""
    content = facts.content
    if isinstance(content, BadContent):
        return Refuse(f"its content cannot be read: {content}")
    if facts.content_bytes > MAX_CONTENT_BYTES:
        return Refuse(Refusal.TOO_LARGE)
    if isinstance(content, SystemAction):
        return _decide_action(content)
    if facts.row.address.channel_type == AGENT_CHANNEL:
        return Forward() if facts.row.address.platform_id else Refuse(Refusal.NO_ADDRESS)
    if facts.too_far_ahead:
        return Refuse(Refusal.TOO_FAR_AHEAD)
    refusal = _address_refusal(facts) or _content_refusal(content)
    if refusal is not None:
        return Refuse(refusal)
    if facts.is_third_party and needs_approval(
        Act.MESSAGE_THIRD_PARTY, facts.taint, guarded=facts.guarded
    ):
        too_long = len(facts.row.content) > MAX_SHOWN_CHARACTERS
        return Refuse(Refusal.TOO_LONG_TO_ASK) if too_long else Hold()
    return Send()


def _decide_action(action: SystemAction) -> RowDecision:
    tag = type(action).TAG
    name = action.action if isinstance(action, UnknownAction) else (tag or ("", ""))[1]
    if not _ACTION.fullmatch(name):
        return Refuse(Refusal.NO_ACTION)
    return RunAction(name)


def _address_refusal(facts: RowFacts) -> Refusal | None:
    address = facts.row.address
    if not address.channel_type or not address.platform_id:
        return Refusal.NO_ADDRESS
    if not facts.chat_known:
        return Refusal.UNKNOWN_CHAT
    if not (facts.is_own_chat or facts.has_destination):
        return Refusal.NOT_PERMITTED
    return None


def _content_refusal(content: OutboundContent) -> Refusal | None:
    """What no channel could show (C-40). Looser than a channel, which knows its own limits."""
    match content:
        case ChatOut():
            if len(content.files) > MAX_FILES:
                return Refusal.TOO_MANY_FILES
            says = content.files or (content.markdown or content.text).strip()
            return None if says else Refusal.EMPTY
        case QuestionCard():
            return None if content.title and content.options else Refusal.QUESTION
        case CardOut():
            return None if _shows(content) else Refusal.EMPTY
        case EditOut():
            if not content.message_id:
                return Refusal.NO_TARGET
            return None if (content.markdown or content.text).strip() else Refusal.EMPTY
        case ReactionOut():
            if not content.message_id:
                return Refusal.NO_TARGET
            return None if content.emoji.strip() else Refusal.EMPTY
        case _:
            return Refusal.NO_ACTION


def _shows(content: CardOut) -> bool:
    card: Card = content.card
    texts = [card.title, card.description, content.fallback_text]
    texts += [child.get("text") if isinstance(child, dict) else child for child in card.children]  # type: ignore[misc]
    links = any(action.label and action.url for action in card.actions)
    return links or any(isinstance(text, str) and text.strip() for text in texts)


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    expired: bool = False


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
    if failure.failure is FailureClass.PERMANENT:
        return GiveUp()
    if now >= expires_at:
        return GiveUp(expired=True)
    if failure.failure is FailureClass.RATE_LIMITED:
        hinted = (failure.retry_after_ms or WAIT_SECONDS * 1000) * RATE_LIMIT_MARGIN
        # Later than its end it need not be tried, and a platform's number may be any.
        delay = min(max(hinted, 0.0) / 1000, LIFETIME.total_seconds())
        return TryAgain(now + timedelta(seconds=delay), counts=False)
    if failure.failure in _NOT_COUNTED:
        return TryAgain(now + timedelta(seconds=WAIT_SECONDS), counts=False)
    return TryAgain(now + timedelta(seconds=retry_seconds(attempts)), counts=True)


def retry_seconds(attempts: int) -> int:
    """Delay after ``attempts`` earlier ones: 1, 2, 5, 15, 60 s, then every five minutes."""
    return RETRY_SECONDS[attempts] if attempts < len(RETRY_SECONDS) else LONG_RETRY_SECONDS
