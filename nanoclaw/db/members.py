"""Statements on ``agent_group_members``: who may talk to an agent group without any other right.

Written by approvals, setup and ``ncl``; read by the access gate. Owners and administrators count as
members without a row.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.roles import has_admin_privilege
from nanoclaw.db.rows import changed, exists, many, time_of


@dataclass(frozen=True, slots=True)
class Member:
    user_id: str
    agent_group_id: str
    added_at: datetime
    added_by: str | None = None


def add(conn: sqlite3.Connection, member: Member) -> bool:
    """False when the user is one already (H-25)."""
    return bool(
        changed(
            conn,
            "INSERT INTO agent_group_members (user_id, agent_group_id, added_by, added_at)"
            " VALUES (?, ?, ?, ?) ON CONFLICT (user_id, agent_group_id) DO NOTHING",
            (member.user_id, member.agent_group_id, member.added_by, to_text(member.added_at)),
        )
    )


def remove(conn: sqlite3.Connection, user_id: str, agent_group_id: str) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM agent_group_members WHERE user_id = ? AND agent_group_id = ?",
            (user_id, agent_group_id),
        )
    )


def has_row(conn: sqlite3.Connection, user_id: str, agent_group_id: str) -> bool:
    return exists(
        conn,
        "SELECT 1 FROM agent_group_members WHERE user_id = ? AND agent_group_id = ?",
        (user_id, agent_group_id),
    )


def is_member(conn: sqlite3.Connection, user_id: str, agent_group_id: str) -> bool:
    """By row or by right."""
    return has_row(conn, user_id, agent_group_id) or has_admin_privilege(
        conn, user_id, agent_group_id
    )


def groups_of(conn: sqlite3.Connection, user_id: str) -> frozenset[str]:
    """Ids of the agent groups that the user is a member of by row."""
    rows = conn.execute(
        "SELECT agent_group_id FROM agent_group_members WHERE user_id = ?", (user_id,)
    )
    return frozenset(row[0] for row in rows)


def list_all(conn: sqlite3.Connection) -> list[Member]:
    return many(conn, _member_of, "SELECT * FROM agent_group_members ORDER BY added_at, rowid")


def _member_of(row: sqlite3.Row) -> Member:
    return Member(
        user_id=row["user_id"],
        agent_group_id=row["agent_group_id"],
        added_at=time_of(row["added_at"]),
        added_by=row["added_by"],
    )
