"""Statements on ``user_dms``: the direct chat in which a user is reached on a channel.

A cache of what a platform answered; forgotten when the platform says that the chat is gone.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, one, time_of


@dataclass(frozen=True, slots=True)
class UserDm:
    user_id: str
    channel_type: str
    messaging_group_id: str
    resolved_at: datetime


def get(conn: sqlite3.Connection, user_id: str, channel_type: str) -> UserDm | None:
    return one(
        conn,
        _dm_of,
        "SELECT * FROM user_dms WHERE user_id = ? AND channel_type = ?",
        (user_id, channel_type),
    )


def upsert(conn: sqlite3.Connection, dm: UserDm) -> None:
    conn.execute(
        "INSERT INTO user_dms (user_id, channel_type, messaging_group_id, resolved_at)"
        " VALUES (?, ?, ?, ?) ON CONFLICT (user_id, channel_type) DO UPDATE SET"
        " messaging_group_id = excluded.messaging_group_id, resolved_at = excluded.resolved_at",
        (dm.user_id, dm.channel_type, dm.messaging_group_id, to_text(dm.resolved_at)),
    )


def forget(conn: sqlite3.Connection, user_id: str, channel_type: str) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM user_dms WHERE user_id = ? AND channel_type = ?",
            (user_id, channel_type),
        )
    )


def forget_chat(conn: sqlite3.Connection, messaging_group_id: str) -> int:
    """Everybody who was reached in this chat; how many."""
    return changed(conn, "DELETE FROM user_dms WHERE messaging_group_id = ?", (messaging_group_id,))


def list_all(conn: sqlite3.Connection) -> list[UserDm]:
    return many(conn, _dm_of, "SELECT * FROM user_dms ORDER BY user_id, channel_type")


def _dm_of(row: sqlite3.Row) -> UserDm:
    return UserDm(
        user_id=row["user_id"],
        channel_type=row["channel_type"],
        messaging_group_id=row["messaging_group_id"],
        resolved_at=time_of(row["resolved_at"]),
    )
