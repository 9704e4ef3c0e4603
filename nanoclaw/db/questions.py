"""Statements on ``pending_questions``, and what a card of any kind looks like.

Delivery stores a question when it takes the agent's card in, the router answers it. The table
holds open questions only: what became of the others stands in ``closed_cards``. A second insert
of the same card is ignored, because delivery may repeat it.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.address import Address
from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, many, moment, one, text_of, time_of


class CardState(StrEnum):
    """Where a card is on its way: written down, shown to somebody, answered, or too old."""

    CREATED = "created"
    SENT = "sent"
    DECIDED = "decided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Question:
    """A card of an agent. ``options_json`` is the stored form of H-310.

    After ``expires_at`` nobody waits for the answer any more.
    """

    question_id: str
    session_id: str
    message_out_id: str
    address: Address
    title: str
    options_json: str
    created_at: datetime
    card_state: CardState = CardState.CREATED
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CardText:
    """What an adapter needs to show a card as answered."""

    title: str
    options_json: str


def insert(conn: sqlite3.Connection, question: Question) -> bool:
    """False when it is stored already (H-28)."""
    return bool(
        changed(
            conn,
            "INSERT INTO pending_questions (question_id, session_id, message_out_id, platform_id,"
            " channel_type, thread_id, title, options_json, created_at, card_state, expires_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (question_id) DO NOTHING",
            (
                question.question_id,
                question.session_id,
                question.message_out_id,
                question.address.platform_id,
                question.address.channel_type,
                question.address.thread_id,
                question.title,
                question.options_json,
                to_text(question.created_at),
                question.card_state,
                text_of(question.expires_at),
            ),
        )
    )


def get(conn: sqlite3.Connection, question_id: str) -> Question | None:
    return one(
        conn,
        _question_of,
        "SELECT * FROM pending_questions WHERE question_id = ?",
        (question_id,),
    )


def of_session(conn: sqlite3.Connection, session_id: str) -> list[Question]:
    return many(
        conn,
        _question_of,
        "SELECT * FROM pending_questions WHERE session_id = ? ORDER BY created_at",
        (session_id,),
    )


def open_in_chat(
    conn: sqlite3.Connection, channel_type: str, platform_id: str, limit: int
) -> list[Question]:
    """Newest first."""
    return many(
        conn,
        _question_of,
        "SELECT * FROM pending_questions INDEXED BY pending_questions_chat"
        " WHERE channel_type = ? AND platform_id = ? AND card_state IN ('created', 'sent')"
        " ORDER BY created_at DESC LIMIT ?",
        (channel_type, platform_id, limit),
    )


def take(conn: sqlite3.Connection, question_id: str) -> bool:
    """Ends the question. True for the first answer only; a second click finds nothing."""
    return bool(
        changed(conn, "DELETE FROM pending_questions WHERE question_id = ?", (question_id,))
    )


def expire(conn: sqlite3.Connection, before: datetime, limit: int = 50) -> list[Question]:
    """Takes out some that nobody has waited for since ``before``; each is returned once."""
    return many(
        conn,
        _question_of,
        "DELETE FROM pending_questions WHERE rowid IN (SELECT rowid FROM pending_questions"
        " INDEXED BY pending_questions_expiry WHERE expires_at <= ?"
        " AND card_state IN ('created', 'sent') LIMIT ?) RETURNING *",
        (to_text(before), limit),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(
        conn,
        "SELECT min(expires_at) FROM pending_questions INDEXED BY pending_questions_expiry"
        " WHERE card_state IN ('created', 'sent')",
    )


def card_text(conn: sqlite3.Connection, card_id: str) -> CardText | None:
    """By the id on the card: question, approval, chat registration or new sender (H-29)."""
    return one(
        conn,
        lambda row: CardText(row["title"], row["options_json"]),
        "SELECT title, options_json FROM ("
        "SELECT 1 AS place, title, options_json FROM pending_questions WHERE question_id = ?1"
        " UNION ALL SELECT 2, title, options_json FROM pending_approvals"
        " WHERE approval_id = ?1 AND title <> ''"
        " UNION ALL SELECT 3, title, options_json FROM pending_channel_approvals"
        " WHERE coalesce(card_id, messaging_group_id) = ?1 AND title <> ''"
        " UNION ALL SELECT 4, title, options_json FROM pending_sender_approvals"
        " WHERE id = ?1 AND title <> '') ORDER BY place LIMIT 1",
        (card_id,),
    )


def _question_of(row: sqlite3.Row) -> Question:
    return Question(
        question_id=row["question_id"],
        session_id=row["session_id"],
        message_out_id=row["message_out_id"],
        address=Address(row["channel_type"], row["platform_id"], row["thread_id"]),
        title=row["title"],
        options_json=row["options_json"],
        created_at=time_of(row["created_at"]),
        card_state=CardState(row["card_state"]),
        expires_at=parse_text(row["expires_at"]),
    )
