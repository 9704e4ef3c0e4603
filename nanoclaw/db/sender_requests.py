"""Statements on ``pending_sender_approvals`` and ``sender_denials``: strangers who wrote to a chat.

Each waits for one person's decision. Written by the router (requests, decisions) and the desk
(cards sent, expiry). A row whose card was never sent or never answered expires, so that it blocks
nobody for ever (W-39); a refusal is remembered for a while, so that it is not asked again at once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text, to_text
from nanoclaw.db.questions import CardState
from nanoclaw.db.rows import changed, exists, many, moment, number, one, text_of, time_of


@dataclass(frozen=True, slots=True)
class SenderRequest:
    """``original_message`` is the inbound event as JSON (H 10.4).

    ``approver_user_id`` is empty until the card went to somebody.
    """

    id: str
    messaging_group_id: str
    agent_group_id: str
    sender_identity: str
    original_message: str
    created_at: datetime
    approver_user_id: str = ""
    sender_name: str | None = None
    title: str = ""
    question: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SenderDenial:
    messaging_group_id: str
    agent_group_id: str
    sender_identity: str
    denied_by: str
    denied_until: datetime


def add(conn: sqlite3.Connection, request: SenderRequest) -> None:
    """Raises sqlite3.IntegrityError when this sender waits already (H-28)."""
    conn.execute(
        "INSERT INTO pending_sender_approvals (id, messaging_group_id, agent_group_id,"
        " sender_identity, sender_name, original_message, approver_user_id, created_at, title,"
        " question, options_json, card_state, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.id,
            request.messaging_group_id,
            request.agent_group_id,
            request.sender_identity,
            request.sender_name,
            request.original_message,
            request.approver_user_id,
            to_text(request.created_at),
            request.title,
            request.question,
            request.options_json,
            request.card_state,
            text_of(request.expires_at),
        ),
    )


def get(conn: sqlite3.Connection, request_id: str) -> SenderRequest | None:
    return one(
        conn, _request_of, "SELECT * FROM pending_sender_approvals WHERE id = ?", (request_id,)
    )


def find(
    conn: sqlite3.Connection, messaging_group_id: str, sender_identity: str
) -> SenderRequest | None:
    return one(
        conn,
        _request_of,
        "SELECT * FROM pending_sender_approvals"
        " WHERE messaging_group_id = ? AND sender_identity = ?",
        (messaging_group_id, sender_identity),
    )


def list_all(conn: sqlite3.Connection) -> list[SenderRequest]:
    """Oldest first."""
    return many(conn, _request_of, "SELECT * FROM pending_sender_approvals ORDER BY created_at, id")


def count_in_chat(conn: sqlite3.Connection, messaging_group_id: str) -> int:
    return number(
        conn,
        "SELECT count(*) FROM pending_sender_approvals WHERE messaging_group_id = ?",
        (messaging_group_id,),
    )


def with_new_card(conn: sqlite3.Connection, limit: int) -> list[SenderRequest]:
    """Those whose card is only written down, oldest first."""
    return many(
        conn,
        _request_of,
        "SELECT * FROM pending_sender_approvals INDEXED BY pending_sender_approvals_created"
        " WHERE card_state = 'created' ORDER BY created_at LIMIT ?",
        (limit,),
    )


def mark_sent(conn: sqlite3.Connection, request_id: str, approver_user_id: str) -> bool:
    """The card is on its way to this person. False: it was decided or expired meanwhile."""
    return bool(
        changed(
            conn,
            "UPDATE pending_sender_approvals SET card_state = 'sent', approver_user_id = ?"
            " WHERE id = ?",
            (approver_user_id, request_id),
        )
    )


def take(conn: sqlite3.Connection, request_id: str) -> bool:
    """Ends the request. True for the one who took it; a second click finds nothing."""
    return bool(changed(conn, "DELETE FROM pending_sender_approvals WHERE id = ?", (request_id,)))


def expire(conn: sqlite3.Connection, now: datetime, limit: int = 50) -> list[SenderRequest]:
    """Takes out some that are too old now; the next message asks again."""
    return many(
        conn,
        _request_of,
        "DELETE FROM pending_sender_approvals WHERE rowid IN (SELECT rowid"
        " FROM pending_sender_approvals WHERE expires_at <= ? LIMIT ?) RETURNING *",
        (to_text(now), limit),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(conn, "SELECT min(expires_at) FROM pending_sender_approvals")


# --- refusals -------------------------------------------------------------------------------------


def deny(conn: sqlite3.Connection, denial: SenderDenial) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO sender_denials (messaging_group_id, agent_group_id,"
        " sender_identity, denied_by, denied_until) VALUES (?, ?, ?, ?, ?)",
        (
            denial.messaging_group_id,
            denial.agent_group_id,
            denial.sender_identity,
            denial.denied_by,
            to_text(denial.denied_until),
        ),
    )


def is_denied(
    conn: sqlite3.Connection, chat_and_agent: tuple[str, str], sender_identity: str, now: datetime
) -> bool:
    """``chat_and_agent``: ids of the messaging group and the agent group."""
    return exists(
        conn,
        "SELECT 1 FROM sender_denials WHERE messaging_group_id = ? AND agent_group_id = ?"
        " AND sender_identity = ? AND denied_until > ?",
        (*chat_and_agent, sender_identity, to_text(now)),
    )


def forget_denials(conn: sqlite3.Connection, sender_identity: str, agent_group_id: str) -> int:
    """Somebody let the sender in after all."""
    return changed(
        conn,
        "DELETE FROM sender_denials WHERE sender_identity = ? AND agent_group_id = ?",
        (sender_identity, agent_group_id),
    )


def prune_denials(conn: sqlite3.Connection, now: datetime) -> int:
    return changed(conn, "DELETE FROM sender_denials WHERE denied_until <= ?", (to_text(now),))


def _request_of(row: sqlite3.Row) -> SenderRequest:
    return SenderRequest(
        id=row["id"],
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        sender_identity=row["sender_identity"],
        original_message=row["original_message"],
        created_at=time_of(row["created_at"]),
        approver_user_id=row["approver_user_id"],
        sender_name=row["sender_name"],
        title=row["title"],
        question=row["question"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        expires_at=parse_text(row["expires_at"]),
    )
