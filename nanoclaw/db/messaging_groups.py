"""Statements on ``messaging_groups``: the chats this installation knows.

Written by the router (chats it meets), setup, approvals and ``ncl``. A chat is unique per channel
type and platform id, so find-or-create is one statement and safe between processes.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import (
    UNSET,
    Unset,
    changed,
    many,
    one,
    set_columns,
    text_of,
    time_of,
    word_of,
)
from nanoclaw.db.wirings import of_chat
from nanoclaw.model import MessagingGroup, UnknownSenderPolicy, WiredChat


@dataclass(frozen=True, slots=True)
class MessagingGroupChange:
    """What may change; UNSET stays as it is. ``set_denied`` is on its own."""

    name: str | Unset | None = UNSET
    is_group: bool | Unset = UNSET
    unknown_sender_policy: UnknownSenderPolicy | Unset = UNSET


_SET = {
    "name": "UPDATE messaging_groups SET name = ? WHERE id = ?",
    "is_group": "UPDATE messaging_groups SET is_group = ? WHERE id = ?",
    "unknown_sender_policy": "UPDATE messaging_groups SET unknown_sender_policy = ? WHERE id = ?",
}


def create(conn: sqlite3.Connection, group: MessagingGroup) -> None:
    """Raises sqlite3.IntegrityError when the chat is known already."""
    conn.execute(
        "INSERT INTO messaging_groups (id, channel_type, platform_id, name, is_group,"
        " unknown_sender_policy, created_at, denied_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        _columns(group),
    )


def find_or_create(conn: sqlite3.Connection, group: MessagingGroup) -> MessagingGroup:
    """The chat as stored, whoever stored it."""
    conn.execute(
        "INSERT INTO messaging_groups (id, channel_type, platform_id, name, is_group,"
        " unknown_sender_policy, created_at, denied_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (channel_type, platform_id) DO NOTHING",
        _columns(group),
    )
    found = find_by_address(conn, group.channel_type, group.platform_id)
    assert found is not None, "the row was inserted or met"
    return found


def get(conn: sqlite3.Connection, messaging_group_id: str) -> MessagingGroup | None:
    return one(
        conn, _group_of, "SELECT * FROM messaging_groups WHERE id = ?", (messaging_group_id,)
    )


def find_by_address(
    conn: sqlite3.Connection, channel_type: str, platform_id: str
) -> MessagingGroup | None:
    return one(
        conn,
        _group_of,
        "SELECT * FROM messaging_groups WHERE channel_type = ? AND platform_id = ?",
        (channel_type, platform_id),
    )


def get_by_address(
    conn: sqlite3.Connection, channel_type: str, platform_id: str
) -> WiredChat | None:
    """The chat with its wirings, highest priority first."""
    group = find_by_address(conn, channel_type, platform_id)
    if group is None:
        return None
    return WiredChat(group, tuple(of_chat(conn, group.id)))


def list_all(conn: sqlite3.Connection) -> list[MessagingGroup]:
    """By name."""
    return many(conn, _group_of, "SELECT * FROM messaging_groups ORDER BY name, id")


def update(conn: sqlite3.Connection, messaging_group_id: str, change: MessagingGroupChange) -> bool:
    """Writes the fields that are set; False when there were none."""
    return set_columns(conn, _SET, messaging_group_id, change)


def set_denied(
    conn: sqlite3.Connection, messaging_group_id: str, denied_at: datetime | None
) -> None:
    """The owner refused the chat, or None: takes the refusal back."""
    conn.execute(
        "UPDATE messaging_groups SET denied_at = ? WHERE id = ?",
        (text_of(denied_at), messaging_group_id),
    )


def move(conn: sqlite3.Connection, messaging_group_id: str, platform_id: str) -> bool:
    """The platform gave the chat a new id; False when that address is a chat of its own."""
    return bool(
        changed(
            conn,
            "UPDATE OR IGNORE messaging_groups SET platform_id = ? WHERE id = ?",
            (platform_id, messaging_group_id),
        )
    )


def delete(conn: sqlite3.Connection, messaging_group_id: str) -> bool:
    """Raises sqlite3.IntegrityError while something refers to it."""
    return bool(changed(conn, "DELETE FROM messaging_groups WHERE id = ?", (messaging_group_id,)))


def _columns(group: MessagingGroup) -> tuple[str | int | None, ...]:
    return (
        group.id,
        group.channel_type,
        group.platform_id,
        group.name,
        int(group.is_group),
        group.unknown_sender_policy,
        to_text(group.created_at),
        text_of(group.denied_at),
    )


def _group_of(row: sqlite3.Row) -> MessagingGroup:
    return MessagingGroup(
        id=row["id"],
        channel_type=row["channel_type"],
        platform_id=row["platform_id"],
        created_at=time_of(row["created_at"]),
        name=row["name"],
        is_group=bool(row["is_group"]),
        unknown_sender_policy=word_of(UnknownSenderPolicy, row["unknown_sender_policy"])
        or UnknownSenderPolicy.STRICT,
        denied_at=parse_text(row["denied_at"]),
    )
