"""Cards that are no longer open: what they say to whoever presses them now.

Used by every kind of card of this package whose request ends with its decision. The last of the
answerers: a card that is open has been found before.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.content import Option
from nanoclaw.approvals.clicks import Click
from nanoclaw.db import closed_cards, users
from nanoclaw.db.closed_cards import CardEnd, ClosedCard
from nanoclaw.events import ActionOutcome, ActionResult


@dataclass(frozen=True, slots=True)
class OpenCard:
    """What is known of a card before somebody chooses."""

    card_id: str
    title: str


def decided(
    conn: sqlite3.Connection, card: OpenCard, chosen: Option, by: str, now: datetime
) -> ActionResult:
    """Closes a card with its answer. Inside the decision's transaction."""
    label = chosen.selected_label
    closed_cards.put(conn, ClosedCard(card.card_id, CardEnd.DECIDED, card.title, now, label, by))
    return ActionResult(ActionOutcome.ACCEPTED, card.title, label, name_of(conn, by))


def expired(conn: sqlite3.Connection, card: OpenCard, now: datetime) -> ActionResult:
    """Closes a card that nobody has answered in time."""
    closed_cards.put(conn, ClosedCard(card.card_id, CardEnd.EXPIRED, card.title, now))
    return ActionResult(ActionOutcome.EXPIRED, card.title)


def not_allowed(card: OpenCard) -> ActionResult:
    return ActionResult(ActionOutcome.NOT_ALLOWED, card.title)


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``."""
    card = closed_cards.get(conn, click.card_id)
    if card is None:
        return None
    if card.outcome is CardEnd.EXPIRED:
        return ActionResult(ActionOutcome.EXPIRED, card.title)
    return ActionResult(
        ActionOutcome.ALREADY_ANSWERED, card.title, card.chosen_label,
        name_of(conn, card.chosen_by),
    )  # fmt: skip


def name_of(conn: sqlite3.Connection, user_id: str) -> str:
    """How a person is called in words for others. Untrusted text."""
    user = users.get(conn, user_id) if user_id else None
    return (user.display_name if user is not None else None) or user_id
