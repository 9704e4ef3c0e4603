"""Statements on ``pending_sender_approvals`` and ``pending_channel_approvals``.

Strangers who wrote to a chat, and chats that nobody has wired: each waits for one person's
decision, with the first message kept so that it can be routed again. Written by the router. A row
whose card was never sent or never answered expires, so that it blocks nobody for ever (W-39).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text, to_text
from nanoclaw.db.questions import CardState
from nanoclaw.db.rows import changed, many, one, text_of, time_of


@dataclass(frozen=True, slots=True)
class SenderRequest:
    """``original_message`` is the inbound event as JSON (H 10.4)."""

    id: str
    messaging_group_id: str
    agent_group_id: str
    sender_identity: str
    original_message: str
    approver_user_id: str
    created_at: datetime
    sender_name: str | None = None
    title: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """``name_asked_of``: this user owes the name of a new agent, in the chat that follows."""

    messaging_group_id: str
    agent_group_id: str
    original_message: str
    approver_user_id: str
    created_at: datetime
    title: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    expires_at: datetime | None = None
    name_asked_of: str | None = None
    name_channel_type: str | None = None
    name_platform_id: str | None = None


def add_sender(conn: sqlite3.Connection, request: SenderRequest) -> None:
    """Raises sqlite3.IntegrityError when this sender waits already (H-28)."""
    conn.execute(
        "INSERT INTO pending_sender_approvals (id, messaging_group_id, agent_group_id,"
        " sender_identity, sender_name, original_message, approver_user_id, created_at, title,"
        " options_json, card_state, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            request.options_json,
            request.card_state,
            text_of(request.expires_at),
        ),
    )


def get_sender(conn: sqlite3.Connection, request_id: str) -> SenderRequest | None:
    return one(
        conn, _sender_of, "SELECT * FROM pending_sender_approvals WHERE id = ?", (request_id,)
    )


def find_sender(
    conn: sqlite3.Connection, messaging_group_id: str, sender_identity: str
) -> SenderRequest | None:
    return one(
        conn,
        _sender_of,
        "SELECT * FROM pending_sender_approvals"
        " WHERE messaging_group_id = ? AND sender_identity = ?",
        (messaging_group_id, sender_identity),
    )


def list_senders(conn: sqlite3.Connection) -> list[SenderRequest]:
    return many(conn, _sender_of, "SELECT * FROM pending_sender_approvals ORDER BY created_at")


def mark_sender_sent(conn: sqlite3.Connection, request_id: str) -> None:
    conn.execute(
        "UPDATE pending_sender_approvals SET card_state = 'sent'"
        " WHERE id = ? AND card_state = 'created'",
        (request_id,),
    )


def delete_sender(conn: sqlite3.Connection, request_id: str) -> bool:
    """True for the one who took it; a second click finds nothing."""
    return bool(changed(conn, "DELETE FROM pending_sender_approvals WHERE id = ?", (request_id,)))


def expire_senders(conn: sqlite3.Connection, now: datetime) -> list[SenderRequest]:
    """Takes out those that are too old now; the next message asks again."""
    rows = conn.execute(
        "DELETE FROM pending_sender_approvals WHERE expires_at <= ? RETURNING *",
        (to_text(now),),
    ).fetchall()
    return [_sender_of(row) for row in rows]


def add_channel(conn: sqlite3.Connection, request: ChannelRequest) -> None:
    """Raises sqlite3.IntegrityError when this chat waits already (H-28)."""
    conn.execute(
        "INSERT INTO pending_channel_approvals (messaging_group_id, agent_group_id,"
        " original_message, approver_user_id, created_at, title, options_json, card_state,"
        " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.messaging_group_id,
            request.agent_group_id,
            request.original_message,
            request.approver_user_id,
            to_text(request.created_at),
            request.title,
            request.options_json,
            request.card_state,
            text_of(request.expires_at),
        ),
    )


def get_channel(conn: sqlite3.Connection, messaging_group_id: str) -> ChannelRequest | None:
    return one(
        conn,
        _channel_of,
        "SELECT * FROM pending_channel_approvals WHERE messaging_group_id = ?",
        (messaging_group_id,),
    )


def list_channels(conn: sqlite3.Connection) -> list[ChannelRequest]:
    return many(conn, _channel_of, "SELECT * FROM pending_channel_approvals ORDER BY created_at")


def mark_channel_sent(conn: sqlite3.Connection, messaging_group_id: str) -> None:
    conn.execute(
        "UPDATE pending_channel_approvals SET card_state = 'sent'"
        " WHERE messaging_group_id = ? AND card_state = 'created'",
        (messaging_group_id,),
    )


def set_channel_card(
    conn: sqlite3.Connection, messaging_group_id: str, title: str, options_json: str
) -> None:
    """A second card replaces the first one's text (H-214)."""
    conn.execute(
        "UPDATE pending_channel_approvals SET title = ?, options_json = ?"
        " WHERE messaging_group_id = ?",
        (title, options_json, messaging_group_id),
    )


def ask_name(
    conn: sqlite3.Connection, messaging_group_id: str, user_id: str, channel_type: str,
    platform_id: str,
) -> None:  # fmt: skip
    """The user owes a name for this chat's new agent; an older debt of theirs is forgotten."""
    conn.execute(
        "UPDATE pending_channel_approvals SET name_asked_of = NULL WHERE name_asked_of = ?",
        (user_id,),
    )
    conn.execute(
        "UPDATE pending_channel_approvals SET name_asked_of = ?, name_channel_type = ?,"
        " name_platform_id = ? WHERE messaging_group_id = ?",
        (user_id, channel_type, platform_id, messaging_group_id),
    )


def owing_name(conn: sqlite3.Connection, user_id: str) -> ChannelRequest | None:
    return one(
        conn,
        _channel_of,
        "SELECT * FROM pending_channel_approvals WHERE name_asked_of = ?",
        (user_id,),
    )


def forget_name(conn: sqlite3.Connection, user_id: str) -> None:
    conn.execute(
        "UPDATE pending_channel_approvals SET name_asked_of = NULL, name_channel_type = NULL,"
        " name_platform_id = NULL WHERE name_asked_of = ?",
        (user_id,),
    )


def delete_channel(conn: sqlite3.Connection, messaging_group_id: str) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM pending_channel_approvals WHERE messaging_group_id = ?",
            (messaging_group_id,),
        )
    )


def expire_channels(conn: sqlite3.Connection, now: datetime) -> list[ChannelRequest]:
    """Takes out those that are too old now; the next message asks again."""
    rows = conn.execute(
        "DELETE FROM pending_channel_approvals WHERE expires_at <= ? RETURNING *",
        (to_text(now),),
    ).fetchall()
    return [_channel_of(row) for row in rows]


def _sender_of(row: sqlite3.Row) -> SenderRequest:
    return SenderRequest(
        id=row["id"],
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        sender_identity=row["sender_identity"],
        original_message=row["original_message"],
        approver_user_id=row["approver_user_id"],
        created_at=time_of(row["created_at"]),
        sender_name=row["sender_name"],
        title=row["title"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        expires_at=parse_text(row["expires_at"]),
    )


def _channel_of(row: sqlite3.Row) -> ChannelRequest:
    return ChannelRequest(
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        original_message=row["original_message"],
        approver_user_id=row["approver_user_id"],
        created_at=time_of(row["created_at"]),
        title=row["title"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        expires_at=parse_text(row["expires_at"]),
        name_asked_of=row["name_asked_of"],
        name_channel_type=row["name_channel_type"],
        name_platform_id=row["name_platform_id"],
    )
