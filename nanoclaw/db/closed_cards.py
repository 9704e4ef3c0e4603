"""Statements on ``closed_cards``: what became of cards that are no longer open.

Written by whoever decides or expires a card, in the same transaction that removes its request;
read when somebody presses it afterwards.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import to_text
from nanoclaw.db.rows import changed, one, time_of


class CardEnd(StrEnum):
    DECIDED = "decided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ClosedCard:
    """``chosen_by`` is a user id; empty where nobody chose."""

    card_id: str
    outcome: CardEnd
    title: str
    closed_at: datetime
    chosen_label: str = ""
    chosen_by: str = ""


def put(conn: sqlite3.Connection, card: ClosedCard) -> None:
    """A later request about the same thing may close a card of the same id again."""
    conn.execute(
        "INSERT OR REPLACE INTO closed_cards (card_id, outcome, title, chosen_label, chosen_by,"
        " closed_at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            card.card_id,
            card.outcome,
            card.title,
            card.chosen_label,
            card.chosen_by,
            to_text(card.closed_at),
        ),
    )


def get(conn: sqlite3.Connection, card_id: str) -> ClosedCard | None:
    return one(conn, _card_of, "SELECT * FROM closed_cards WHERE card_id = ?", (card_id,))


def prune(conn: sqlite3.Connection, before: datetime) -> int:
    return changed(conn, "DELETE FROM closed_cards WHERE closed_at < ?", (to_text(before),))


def _card_of(row: sqlite3.Row) -> ClosedCard:
    return ClosedCard(
        card_id=row["card_id"],
        outcome=CardEnd(row["outcome"]),
        title=row["title"],
        closed_at=time_of(row["closed_at"]),
        chosen_label=row["chosen_label"],
        chosen_by=row["chosen_by"],
    )
