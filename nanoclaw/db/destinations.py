"""Statements on ``agent_destinations``: whom an agent may write to, and under which name.

The row is the permission. Written by wirings, agent creation and ``ncl``; read by delivery for each
message. Whoever changes rows while agents run must afterwards rewrite the projection in the session
files of every agent group concerned, those that pointed *at* a removed one included (H-30).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.names import free_name
from nanoclaw.db.rows import changed, exists, many, one, time_of, word_of
from nanoclaw.model import DestinationRow, TargetType


@dataclass(frozen=True, slots=True)
class NewDestination:
    """``wanted_name`` gets a number when the agent has that name already."""

    agent_group_id: str
    wanted_name: str
    target_type: TargetType
    target_id: str
    created_at: datetime


def create(conn: sqlite3.Connection, row: DestinationRow) -> None:
    """Raises sqlite3.IntegrityError when the name is taken."""
    conn.execute(
        "INSERT INTO agent_destinations (agent_group_id, local_name, target_type, target_id,"
        " created_at) VALUES (?, ?, ?, ?, ?)",
        (row.agent_group_id, row.local_name, row.target_type, row.target_id,
         to_text(row.created_at)),
    )  # fmt: skip


def create_with_free_name(conn: sqlite3.Connection, new: NewDestination) -> str:
    """The name that was given. In the caller's transaction, so that the name stays free."""
    taken = {
        row[0]
        for row in conn.execute(
            "SELECT local_name FROM agent_destinations WHERE agent_group_id = ?",
            (new.agent_group_id,),
        )
    }
    name = free_name(new.wanted_name, taken)
    create(
        conn,
        DestinationRow(new.agent_group_id, name, new.target_type, new.target_id, new.created_at),
    )
    return name


def get(conn: sqlite3.Connection, agent_group_id: str, local_name: str) -> DestinationRow | None:
    return one(
        conn,
        _destination_of,
        "SELECT * FROM agent_destinations WHERE agent_group_id = ? AND local_name = ?",
        (agent_group_id, local_name),
    )


def of_agent_group(conn: sqlite3.Connection, agent_group_id: str) -> list[DestinationRow]:
    return many(
        conn,
        _destination_of,
        "SELECT * FROM agent_destinations WHERE agent_group_id = ? ORDER BY created_at, local_name",
        (agent_group_id,),
    )


def pointing_at(
    conn: sqlite3.Connection, target_type: TargetType, target_id: str
) -> list[DestinationRow]:
    return many(
        conn,
        _destination_of,
        "SELECT * FROM agent_destinations WHERE target_type = ? AND target_id = ?",
        (target_type, target_id),
    )


def has_channel(conn: sqlite3.Connection, agent_group_id: str, messaging_group_id: str) -> bool:
    return has_target(conn, agent_group_id, TargetType.CHANNEL, messaging_group_id)


def has_agent(conn: sqlite3.Connection, agent_group_id: str, target_agent_group_id: str) -> bool:
    return has_target(conn, agent_group_id, TargetType.AGENT, target_agent_group_id)


def has_target(
    conn: sqlite3.Connection, agent_group_id: str, target_type: TargetType, target_id: str
) -> bool:
    return exists(
        conn,
        "SELECT 1 FROM agent_destinations"
        " WHERE target_type = ? AND target_id = ? AND agent_group_id = ?",
        (target_type, target_id, agent_group_id),
    )


def delete(conn: sqlite3.Connection, agent_group_id: str, local_name: str) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM agent_destinations WHERE agent_group_id = ? AND local_name = ?",
            (agent_group_id, local_name),
        )
    )


def delete_pointing_at(
    conn: sqlite3.Connection, target_type: TargetType, target_id: str
) -> frozenset[str]:
    """Agent groups that lost a destination by it."""
    rows = conn.execute(
        "DELETE FROM agent_destinations WHERE target_type = ? AND target_id = ?"
        " RETURNING agent_group_id",
        (target_type, target_id),
    ).fetchall()
    return frozenset(row[0] for row in rows)


def _destination_of(row: sqlite3.Row) -> DestinationRow:
    return DestinationRow(
        agent_group_id=row["agent_group_id"],
        local_name=row["local_name"],
        target_type=word_of(TargetType, row["target_type"]) or TargetType.CHANNEL,
        target_id=row["target_id"],
        created_at=time_of(row["created_at"]),
    )
