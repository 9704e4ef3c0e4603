"""Statements on ``pending_channel_approvals``: chats that no agent is wired to.

Somebody addressed us there, and one person has to say what becomes of the chat. Written by the
router (requests, decisions) and the desk (cards sent, expiry). A row whose card was never sent or
never answered expires (W-39). A name that somebody owes stands here too, so that a restart does
not forget it (H-219).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text, to_text
from nanoclaw.db.questions import CardState
from nanoclaw.db.rows import changed, many, moment, number, one, text_of, time_of


@dataclass(frozen=True, slots=True)
class OwedName:
    """This user was asked for the name of a new agent, in this chat of theirs."""

    user_id: str
    channel_type: str
    platform_id: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """``agent_group_id`` is only the reference's: it says nothing about who decides (W-8).

    ``card_id`` is that of the newest card. ``sender_identity`` is empty in rows of the earlier
    program; ``approver_user_id`` is empty until a card went to somebody.
    """

    messaging_group_id: str
    agent_group_id: str
    original_message: str
    created_at: datetime
    card_id: str
    approver_user_id: str = ""
    sender_identity: str | None = None
    sender_name: str | None = None
    title: str = ""
    question: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    expires_at: datetime | None = None
    owed: OwedName | None = None


@dataclass(frozen=True, slots=True)
class NewCard:
    """What a further card about a chat says."""

    card_id: str
    title: str
    question: str
    options_json: str


def add(conn: sqlite3.Connection, request: ChatRequest) -> None:
    """Raises sqlite3.IntegrityError when this chat waits already (H-28)."""
    conn.execute(
        "INSERT INTO pending_channel_approvals (messaging_group_id, agent_group_id,"
        " original_message, approver_user_id, created_at, title, question, options_json,"
        " card_state, expires_at, card_id, sender_identity, sender_name)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.messaging_group_id,
            request.agent_group_id,
            request.original_message,
            request.approver_user_id,
            to_text(request.created_at),
            request.title,
            request.question,
            request.options_json,
            request.card_state,
            text_of(request.expires_at),
            request.card_id,
            request.sender_identity,
            request.sender_name,
        ),
    )


def get(conn: sqlite3.Connection, messaging_group_id: str) -> ChatRequest | None:
    return one(
        conn,
        _request_of,
        "SELECT * FROM pending_channel_approvals WHERE messaging_group_id = ?",
        (messaging_group_id,),
    )


def list_all(conn: sqlite3.Connection) -> list[ChatRequest]:
    """Oldest first."""
    return many(
        conn,
        _request_of,
        "SELECT * FROM pending_channel_approvals ORDER BY created_at, messaging_group_id",
    )


def count(conn: sqlite3.Connection) -> int:
    return number(conn, "SELECT count(*) FROM pending_channel_approvals")


def with_new_card(conn: sqlite3.Connection, limit: int) -> list[ChatRequest]:
    """Those whose card is only written down, oldest first."""
    return many(
        conn,
        _request_of,
        "SELECT * FROM pending_channel_approvals INDEXED BY pending_channel_approvals_created"
        " WHERE card_state = 'created' ORDER BY created_at LIMIT ?",
        (limit,),
    )


def mark_sent(conn: sqlite3.Connection, messaging_group_id: str, approver_user_id: str) -> bool:
    """The card is on its way to this person. False: it was decided or expired meanwhile."""
    return bool(
        changed(
            conn,
            "UPDATE pending_channel_approvals SET card_state = 'sent', approver_user_id = ?"
            " WHERE messaging_group_id = ?",
            (approver_user_id, messaging_group_id),
        )
    )


def set_card(conn: sqlite3.Connection, messaging_group_id: str, card: NewCard) -> None:
    """A further card takes the place of the one before, and is still to be sent (H-214)."""
    conn.execute(
        "UPDATE pending_channel_approvals SET card_id = ?, title = ?, question = ?,"
        " options_json = ?, card_state = 'created' WHERE messaging_group_id = ?",
        (card.card_id, card.title, card.question, card.options_json, messaging_group_id),
    )


def set_approver(conn: sqlite3.Connection, messaging_group_id: str, user_id: str) -> None:
    """Who is to see the next card first."""
    conn.execute(
        "UPDATE pending_channel_approvals SET approver_user_id = ? WHERE messaging_group_id = ?",
        (user_id, messaging_group_id),
    )


def ask_name(conn: sqlite3.Connection, messaging_group_id: str, owed: OwedName) -> None:
    """The user owes a name for this chat's new agent; forget an older debt of theirs before."""
    conn.execute(
        "UPDATE pending_channel_approvals SET name_asked_of = ?, name_channel_type = ?,"
        " name_platform_id = ?, name_asked_at = ? WHERE messaging_group_id = ?",
        (
            owed.user_id,
            owed.channel_type,
            owed.platform_id,
            to_text(owed.asked_at),
            messaging_group_id,
        ),
    )


def owing_name(conn: sqlite3.Connection, user_id: str) -> ChatRequest | None:
    return one(
        conn,
        _request_of,
        "SELECT * FROM pending_channel_approvals WHERE name_asked_of = ?",
        (user_id,),
    )


def owing_since(conn: sqlite3.Connection, moment: datetime) -> list[ChatRequest]:
    """Those whose name was asked for at ``moment`` or before."""
    return many(
        conn,
        _request_of,
        "SELECT * FROM pending_channel_approvals INDEXED BY pending_channel_approvals_name"
        " WHERE name_asked_of IS NOT NULL AND name_asked_at <= ?",
        (to_text(moment),),
    )


def first_owed(conn: sqlite3.Connection) -> datetime | None:
    """When the oldest name that is still owed was asked for."""
    return moment(
        conn,
        "SELECT min(name_asked_at) FROM pending_channel_approvals"
        " INDEXED BY pending_channel_approvals_name WHERE name_asked_of IS NOT NULL",
    )


def forget_name(conn: sqlite3.Connection, user_id: str) -> None:
    conn.execute(
        "UPDATE pending_channel_approvals SET name_asked_of = NULL, name_channel_type = NULL,"
        " name_platform_id = NULL, name_asked_at = NULL WHERE name_asked_of = ?",
        (user_id,),
    )


def take(conn: sqlite3.Connection, messaging_group_id: str) -> bool:
    """Ends the request. True for the one who took it."""
    return bool(
        changed(
            conn,
            "DELETE FROM pending_channel_approvals WHERE messaging_group_id = ?",
            (messaging_group_id,),
        )
    )


def expire(conn: sqlite3.Connection, now: datetime, limit: int = 50) -> list[ChatRequest]:
    """Takes out some that are too old now; the next message asks again."""
    return many(
        conn,
        _request_of,
        "DELETE FROM pending_channel_approvals WHERE rowid IN (SELECT rowid"
        " FROM pending_channel_approvals WHERE expires_at <= ? LIMIT ?) RETURNING *",
        (to_text(now), limit),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(conn, "SELECT min(expires_at) FROM pending_channel_approvals")


def _request_of(row: sqlite3.Row) -> ChatRequest:
    owed = None
    if row["name_asked_of"] is not None:
        owed = OwedName(
            user_id=row["name_asked_of"],
            channel_type=row["name_channel_type"] or "",
            platform_id=row["name_platform_id"] or "",
            asked_at=time_of(row["name_asked_at"]),
        )
    return ChatRequest(
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        original_message=row["original_message"],
        created_at=time_of(row["created_at"]),
        card_id=row["card_id"] or row["messaging_group_id"],
        approver_user_id=row["approver_user_id"],
        sender_identity=row["sender_identity"],
        sender_name=row["sender_name"],
        title=row["title"],
        question=row["question"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        expires_at=parse_text(row["expires_at"]),
        owed=owed,
    )
