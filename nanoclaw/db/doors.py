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


def close_invalid(conn: sqlite3.Connection, now: datetime) -> int:
    """Those that were left open by a crash: their lease is held no more, or is another one."""
    return changed(
        conn,
        "UPDATE doors INDEXED BY doors_open SET state = 'closed', closed_at = ?"
        " WHERE state = 'open' AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = session_id"
        " AND s.lease_token = lease AND s.lease_owner IS NOT NULL)",
        (to_text(now),),
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


def list_valid(conn: sqlite3.Connection) -> list[Door]:
    """Those whose lease is still held: what the vault may serve, whatever was left undone."""
    return many(
        conn,
        _door_of,
        "SELECT d.* FROM doors d INDEXED BY doors_open JOIN sessions s ON s.id = d.session_id"
        " WHERE d.state = 'open' AND s.lease_token = d.lease AND s.lease_owner IS NOT NULL",
    )


def _door_of(row: sqlite3.Row) -> Door:
    return Door(
        session_id=row["session_id"],
        agent_group_id=row["agent_group_id"],
        folder=row["folder"],
        token_hash=row["token_hash"],
        lease=row["lease"],
        opened_at=time_of(row["opened_at"]),
    )
