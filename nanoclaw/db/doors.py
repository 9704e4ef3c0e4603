"""Statements on ``doors``: through which socket and with which token a running session gets out.

Written by the sweep when it starts and stops a container; the vault only reads. A token is kept as
a hash, belongs to one lease, and is worth nothing once the door is closed.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, one, time_of


@dataclass(frozen=True, slots=True)
class Door:
    """``folder`` is the name below ``run/d`` that is mounted into the container."""

    session_id: str
    agent_group_id: str
    folder: str
    token_hash: str
    lease: int
    opened_at: datetime


def open_door(conn: sqlite3.Connection, door: Door) -> None:
    """Replaces the session's earlier door, whose token dies with it."""
    conn.execute(
        "INSERT INTO doors (session_id, agent_group_id, folder, token_hash, lease, state,"
        " opened_at) VALUES (?, ?, ?, ?, ?, 'open', ?) ON CONFLICT (session_id) DO UPDATE SET"
        " agent_group_id = excluded.agent_group_id, folder = excluded.folder,"
        " token_hash = excluded.token_hash, lease = excluded.lease, state = 'open',"
        " opened_at = excluded.opened_at, closed_at = NULL",
        (
            door.session_id,
            door.agent_group_id,
            door.folder,
            door.token_hash,
            door.lease,
            to_text(door.opened_at),
        ),
    )


def close_door(conn: sqlite3.Connection, session_id: str, now: datetime) -> bool:
    return bool(
        changed(
            conn,
            "UPDATE doors SET state = 'closed', closed_at = ?"
            " WHERE session_id = ? AND state = 'open'",
            (to_text(now), session_id),
        )
    )


def find_open(conn: sqlite3.Connection, token_hash: str) -> Door | None:
    """The open door that this token fits."""
    return one(
        conn,
        _door_of,
        "SELECT * FROM doors WHERE token_hash = ? AND state = 'open'",
        (token_hash,),
    )


def list_open(conn: sqlite3.Connection) -> list[Door]:
    return many(conn, _door_of, "SELECT * FROM doors INDEXED BY doors_open WHERE state = 'open'")


def _door_of(row: sqlite3.Row) -> Door:
    return Door(
        session_id=row["session_id"],
        agent_group_id=row["agent_group_id"],
        folder=row["folder"],
        token_hash=row["token_hash"],
        lease=row["lease"],
        opened_at=time_of(row["opened_at"]),
    )
