"""Statements on ``user_roles``: owners and administrators.

Written by setup, pairing and ``ncl``; read by every permission decision. An owner is one
everywhere; an administrator is one everywhere or for one agent group.
"""

import sqlite3

from contract.clock import to_text
from nanoclaw.db.rows import changed, exists, many, time_of
from nanoclaw.model import Role, RoleGrant


def grant(conn: sqlite3.Connection, role: RoleGrant) -> bool:
    """False when the user has it already. Raises ValueError for an owner of one group (H-24)."""
    if role.role is Role.OWNER and role.agent_group_id is not None:
        raise ValueError("an owner is not limited to one agent group")
    return bool(
        changed(
            conn,
            "INSERT INTO user_roles (user_id, role, agent_group_id, granted_by, granted_at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (user_id, role, coalesce(agent_group_id, '')) DO NOTHING",
            (
                role.user_id,
                role.role,
                role.agent_group_id,
                role.granted_by,
                to_text(role.granted_at),
            ),
        )
    )


def revoke(conn: sqlite3.Connection, user_id: str, role: Role, agent_group_id: str | None) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM user_roles WHERE user_id = ? AND role = ? AND agent_group_id IS ?",
            (user_id, role, agent_group_id),
        )
    )


def is_owner(conn: sqlite3.Connection, user_id: str) -> bool:
    return exists(
        conn,
        "SELECT 1 FROM user_roles WHERE user_id = ? AND role = 'owner' AND agent_group_id IS NULL",
        (user_id,),
    )


def is_global_admin(conn: sqlite3.Connection, user_id: str) -> bool:
    return exists(
        conn,
        "SELECT 1 FROM user_roles WHERE user_id = ? AND role = 'admin' AND agent_group_id IS NULL",
        (user_id,),
    )


def has_admin_privilege(conn: sqlite3.Connection, user_id: str, agent_group_id: str) -> bool:
    """Owner, administrator everywhere, or administrator of this group."""
    return exists(
        conn,
        "SELECT 1 FROM user_roles WHERE user_id = ? AND role IN ('owner', 'admin')"
        " AND (agent_group_id IS NULL OR (role = 'admin' AND agent_group_id = ?))",
        (user_id, agent_group_id),
    )


def has_any_owner(conn: sqlite3.Connection) -> bool:
    return exists(conn, "SELECT 1 FROM user_roles WHERE role = 'owner' LIMIT 1")


def owners(conn: sqlite3.Connection) -> list[RoleGrant]:
    """Longest-serving first, as in the two functions below."""
    return many(
        conn,
        _grant_of,
        "SELECT * FROM user_roles WHERE role = 'owner' AND agent_group_id IS NULL"
        " ORDER BY granted_at, rowid",
    )


def global_admins(conn: sqlite3.Connection) -> list[RoleGrant]:
    return many(
        conn,
        _grant_of,
        "SELECT * FROM user_roles WHERE role = 'admin' AND agent_group_id IS NULL"
        " ORDER BY granted_at, rowid",
    )


def admins_of_agent_group(conn: sqlite3.Connection, agent_group_id: str) -> list[RoleGrant]:
    return many(
        conn,
        _grant_of,
        "SELECT * FROM user_roles WHERE role = 'admin' AND agent_group_id = ?"
        " ORDER BY granted_at, rowid",
        (agent_group_id,),
    )


def of_user(conn: sqlite3.Connection, user_id: str) -> list[RoleGrant]:
    return many(
        conn,
        _grant_of,
        "SELECT * FROM user_roles WHERE user_id = ? AND role IN ('owner', 'admin')"
        " ORDER BY granted_at, rowid",
        (user_id,),
    )


def list_all(conn: sqlite3.Connection) -> list[RoleGrant]:
    """Words that are no role grant nothing and are left out, as in ``of_user``."""
    return many(
        conn,
        _grant_of,
        "SELECT * FROM user_roles WHERE role IN ('owner', 'admin') ORDER BY granted_at, rowid",
    )


def _grant_of(row: sqlite3.Row) -> RoleGrant:
    return RoleGrant(
        user_id=row["user_id"],
        role=Role(row["role"]),
        granted_at=time_of(row["granted_at"]),
        agent_group_id=row["agent_group_id"],
        granted_by=row["granted_by"],
    )
