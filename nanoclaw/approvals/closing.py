"""Takes a decided card back from everywhere it was shown (C-66).

``close_card`` is called by whoever ends a card, in the transaction that ends it; the desk then has
each copy changed by its channel, or says the outcome in words where that is not possible.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.approvals.cards import shown
from nanoclaw.approvals.clicks import Click
from nanoclaw.db import card_copies

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


def outcome_text(title: str, label: str, who: str, now: datetime) -> str:
    """Title, chosen label, who and when, in one line. People choose their names themselves."""
    by = f" — {shown(who, MAX_NAME)}" if who else ""
    return f"{title}: {label}{by}, {to_text(now)[:16].replace('T', ' ')} UTC"
