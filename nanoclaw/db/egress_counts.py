"""Statements on ``egress_counts``: how many of a session's egress decisions the audit has per hour.

Written by the vault only, in the transaction that records a decision, so that an agent that asks
without end fills no disk and what was left out is still counted.
"""

import sqlite3
from dataclasses import dataclass

from nanoclaw.db.rows import changed, many, number


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Decisions of one session and hour (``2026-11-25T13``) that have no row of their own."""

    session_id: str
    agent_group_id: str
    hour: str
    count: int


def count(conn: sqlite3.Connection, session_id: str, agent_group_id: str, hour: str) -> int:
    """One more; how many it are now, those that were not recorded left out."""
    return number(
        conn,
        "INSERT INTO egress_counts (session_id, hour, agent_group_id, recorded)"
        " VALUES (?, ?, ?, 1) ON CONFLICT (session_id, hour) DO UPDATE"
        " SET recorded = recorded + 1 RETURNING recorded",
        (session_id, hour, agent_group_id),
    )


def leave_out(conn: sqlite3.Connection, session_id: str, hour: str) -> None:
    """One more that is not recorded, instead of one that is."""
    conn.execute(
        "UPDATE egress_counts SET recorded = recorded - 1, unrecorded = unrecorded + 1"
        " WHERE session_id = ? AND hour = ?",
        (session_id, hour),
    )


def take_unrecorded(conn: sqlite3.Connection, before_hour: str, limit: int) -> list[Unrecorded]:
    """What earlier hours left out; these hours are forgotten."""
    found = many(
        conn,
        lambda row: Unrecorded(
            row["session_id"], row["agent_group_id"], row["hour"], row["unrecorded"]
        ),
        "SELECT * FROM egress_counts WHERE hour < ? AND unrecorded > 0 ORDER BY hour LIMIT ?",
        (before_hour, limit),
    )
    for item in found:
        conn.execute(
            "DELETE FROM egress_counts WHERE session_id = ? AND hour = ?",
            (item.session_id, item.hour),
        )
    changed(conn, "DELETE FROM egress_counts WHERE hour < ? AND unrecorded = 0", (before_hour,))
    return found
