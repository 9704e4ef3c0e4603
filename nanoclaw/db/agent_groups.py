"""Statements on ``agent_groups``: the assistants of this installation.

Written by setup, the first-agent seeding, approved requests and ``ncl``; read by everybody. A group
that something still refers to cannot be deleted; only its container configuration goes with it.
"""

import sqlite3
from dataclasses import dataclass

from contract.clock import to_text
from nanoclaw.db.rows import UNSET, Unset, changed, exists, many, one, set_columns, time_of
from nanoclaw.model import AgentGroup


@dataclass(frozen=True, slots=True)
class AgentGroupChange:
    """What may change; UNSET stays as it is."""

    name: str | Unset = UNSET
    agent_provider: str | Unset | None = UNSET


_SET = {
    "name": "UPDATE agent_groups SET name = ? WHERE id = ?",
    "agent_provider": "UPDATE agent_groups SET agent_provider = ? WHERE id = ?",
}


def create(conn: sqlite3.Connection, group: AgentGroup) -> None:
    conn.execute(
        "INSERT INTO agent_groups (id, name, folder, agent_provider, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (group.id, group.name, group.folder, group.agent_provider, to_text(group.created_at)),
    )


def get(conn: sqlite3.Connection, agent_group_id: str) -> AgentGroup | None:
    return one(conn, _group_of, "SELECT * FROM agent_groups WHERE id = ?", (agent_group_id,))


def get_by_folder(conn: sqlite3.Connection, folder: str) -> AgentGroup | None:
    return one(conn, _group_of, "SELECT * FROM agent_groups WHERE folder = ?", (folder,))


def list_all(conn: sqlite3.Connection) -> list[AgentGroup]:
    """By name."""
    return many(conn, _group_of, "SELECT * FROM agent_groups ORDER BY name, id")


def any_exists(conn: sqlite3.Connection) -> bool:
    return exists(conn, "SELECT 1 FROM agent_groups LIMIT 1")


def update(conn: sqlite3.Connection, agent_group_id: str, change: AgentGroupChange) -> bool:
    """Writes the fields that are set; False when there were none."""
    return set_columns(conn, _SET, agent_group_id, change)


def delete(conn: sqlite3.Connection, agent_group_id: str) -> bool:
    """Raises sqlite3.IntegrityError while something refers to it."""
    return bool(changed(conn, "DELETE FROM agent_groups WHERE id = ?", (agent_group_id,)))


def _group_of(row: sqlite3.Row) -> AgentGroup:
    return AgentGroup(
        id=row["id"],
        name=row["name"],
        folder=row["folder"],
        created_at=time_of(row["created_at"]),
        agent_provider=row["agent_provider"],
    )
