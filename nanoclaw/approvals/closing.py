"""Takes a decided card back from everywhere it was shown (C-66).

Called by whoever ends a card, in the transaction that ends it; the desk then has each copy changed
by its channel, or says the outcome in words where that is not possible. ``decide`` and ``end`` are
for requests that nothing remembers afterwards but ``closed``.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from contract.content import Option
from nanoclaw.approvals import closed
from nanoclaw.approvals.cards import shown
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.db import card_copies
from nanoclaw.events import ActionResult

MAX_CLOSING_CHARACTERS = 500
MAX_NAME = 80


def close_card(
    conn: sqlite3.Connection, card_id: str, text: str, now: datetime, click: Click | None = None
) -> None:
    """``text`` replaces the card everywhere; harmless for cards that were shown nowhere.

    The copy that was pressed is left out: its channel has changed it with the answer. A typed
    answer is a ``click`` without a message id, and leaves nothing out.
    """
    pressed = None
    if click is not None and click.message_id:
        pressed = card_copies.Place(click.instance, click.platform_id)
    card_copies.close(conn, card_id, text[:MAX_CLOSING_CHARACTERS], pressed, now)


def decide(
    conn: sqlite3.Connection, card: OpenCard, chosen: Option, click: Click, now: datetime
) -> ActionResult:
    """Closed with its answer, for those who press it later and wherever it is shown."""
    result = closed.decided(conn, card, chosen, click.user_id, now)
    text = outcome_text(card.title, result.chosen_label, result.chosen_by, now)
    close_card(conn, card.card_id, text, now, click)
    return result


def end(conn: sqlite3.Connection, card: OpenCard, now: datetime) -> ActionResult:
    """Over without a decision."""
    close_card(conn, card.card_id, closed_text(card.title), now)
    return closed.expired(conn, card, now)


def is_over(expires_at: datetime | None, now: datetime) -> bool:
    return expires_at is not None and expires_at <= now


def closed_text(title: str) -> str:
    return f"{title}: this question is closed"


def outcome_text(title: str, label: str, who: str, now: datetime) -> str:
    """Title, chosen label, who and when, in one line. People choose their names themselves."""
    by = f" — {shown(who, MAX_NAME)}" if who else ""
    return f"{title}: {label}{by}, {to_text(now)[:16].replace('T', ' ')} UTC"
