"""Statements on what agents may use of the machine: places per group, disk that is used up.

Read and written by the sweep. A row of ``disk_excess`` keeps a session from being started until a
measurement says that there is room again; it survives the sweep, so that a restart lets nobody in.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, moment


def places_by_group(conn: sqlite3.Connection) -> dict[str, int]:
    """How many containers each group may have at once; groups without a limit are not in it."""
    rows = conn.execute(
        "SELECT agent_group_id, max_containers FROM container_configs"
        " INDEXED BY container_configs_capped WHERE max_containers IS NOT NULL"
    )
    return {row["agent_group_id"]: row["max_containers"] for row in rows}


def note_excess(conn: sqlite3.Connection, session_id: str, used_bytes: int, now: datetime) -> None:
    """The session uses more disk than it may."""
    conn.execute(
        "INSERT INTO disk_excess (session_id, used_bytes, measured_at) VALUES (?, ?, ?)"
        " ON CONFLICT (session_id) DO UPDATE SET used_bytes = excluded.used_bytes,"
        " measured_at = excluded.measured_at",
        (session_id, used_bytes, to_text(now)),
    )


def forget_excess(conn: sqlite3.Connection, session_id: str) -> bool:
    """There is room again; whether there had been none."""
    return bool(changed(conn, "DELETE FROM disk_excess WHERE session_id = ?", (session_id,)))


def excess_of(conn: sqlite3.Connection, session_id: str) -> int | None:
    """How much it used when it was found to use too much; None: it may start."""
    row = conn.execute(
        "SELECT used_bytes FROM disk_excess WHERE session_id = ?", (session_id,)
    ).fetchone()
    return None if row is None else int(row["used_bytes"])


def told_at(conn: sqlite3.Connection, delivery_id: str) -> datetime | None:
    """When this word to a chat was queued, if it was."""
    return moment(conn, "SELECT created_at FROM deliveries WHERE delivery_id = ?", (delivery_id,))
