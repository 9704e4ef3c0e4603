"""Statements on ``dropped_messages``: what was not answered, counted per chat and sender.

Written by the router, once per message with the reason that decided (W-55). The table of the
earlier program, ``unregistered_senders``, was taken over once and is not written any more.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, time_of

DEFAULT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class DroppedMessage:
    """One message that nobody was to answer; ``user_id`` None: the sender is unknown."""

    channel_type: str
    platform_id: str
    reason: str
    at: datetime
    user_id: str | None = None
    sender_name: str | None = None
    messaging_group_id: str | None = None
    agent_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class DroppedSender:
    """All of them by one sender in one chat; the reason is the newest one's."""

    channel_type: str
    platform_id: str
    user_id: str | None
    sender_name: str | None
    reason: str
    messaging_group_id: str | None
    agent_group_id: str | None
    message_count: int
    first_seen: datetime
    last_seen: datetime


def record(conn: sqlite3.Connection, message: DroppedMessage) -> None:
    """The first chat, agent group and time are kept (H-27)."""
    text = to_text(message.at)
    conn.execute(
        "INSERT INTO dropped_messages (channel_type, platform_id, sender, user_id, sender_name,"
        " reason, messaging_group_id, agent_group_id, first_seen, last_seen)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (channel_type, platform_id, sender) DO UPDATE SET"
        " message_count = message_count + 1, reason = excluded.reason,"
        " last_seen = excluded.last_seen, user_id = coalesce(excluded.user_id, user_id),"
        " sender_name = coalesce(excluded.sender_name, sender_name)",
        (
            message.channel_type,
            message.platform_id,
            message.user_id or "",
            message.user_id,
            message.sender_name,
            message.reason,
            message.messaging_group_id,
            message.agent_group_id,
            text,
            text,
        ),
    )


def recent(conn: sqlite3.Connection, limit: int = DEFAULT_LIMIT) -> list[DroppedSender]:
    """Newest first."""
    return many(
        conn,
        _sender_of,
        "SELECT * FROM dropped_messages ORDER BY last_seen DESC, rowid DESC LIMIT ?",
        (limit,),
    )


def delete_old(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Senders who have not tried since; at most ``limit`` of them."""
    return changed(
        conn,
        "DELETE FROM dropped_messages WHERE rowid IN (SELECT rowid FROM dropped_messages"
        " INDEXED BY dropped_messages_last_seen WHERE last_seen < ? LIMIT ?)",
        (to_text(before), limit),
    )


def _sender_of(row: sqlite3.Row) -> DroppedSender:
    return DroppedSender(
        channel_type=row["channel_type"],
        platform_id=row["platform_id"],
        user_id=row["user_id"],
        sender_name=row["sender_name"],
        reason=row["reason"],
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        message_count=row["message_count"],
        first_seen=time_of(row["first_seen"]),
        last_seen=time_of(row["last_seen"]),
    )
