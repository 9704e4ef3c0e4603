"""Statements about sessions that have been quiet for long: closing them, packing their folders.

Used by ``sweep.closing``, which asks once an hour; nothing here is on the way of a message.
"""

import sqlite3
from datetime import datetime, timedelta

from contract.clock import to_text
from nanoclaw.db.rows import changed, many
from nanoclaw.db.sessions import session_of
from nanoclaw.model import Session

CLOSE_AFTER_DAYS = 30
"""Default of ``container_configs.close_after_days``; 0 there means never (design section 10)."""


def quiet(
    conn: sqlite3.Connection, now: datetime, limit: int, after: datetime | None = None
) -> list[Session]:
    """Active sessions that nobody has written to for their group's time, longest quiet first.

    ``after``: only those that somebody has written to since then.
    """
    return many(
        conn,
        session_of,
        "SELECT sessions.* FROM sessions INDEXED BY sessions_quiet"
        " LEFT JOIN container_configs USING (agent_group_id)"
        " WHERE status = 'active' AND last_active < ?1 AND last_active > ?5"
        " AND container_status = 'stopped'"
        " AND next_due_at IS NULL AND out_dirty = 0 AND quarantined_at IS NULL"
        " AND coalesce(close_after_days, ?2) > 0 AND julianday(last_active) <"
        " julianday(?3) - coalesce(close_after_days, ?2) ORDER BY last_active LIMIT ?4",
        (
            to_text(now - timedelta(days=1)),
            CLOSE_AFTER_DAYS,
            to_text(now),
            limit,
            "" if after is None else to_text(after),
        ),
    )


def unpacked(conn: sqlite3.Connection, limit: int) -> list[Session]:
    """Closed sessions whose folder is still there, or was when we last looked."""
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions INDEXED BY sessions_unpacked"
        " WHERE status = 'closed' AND archived = 0 AND closed_at IS NOT NULL"
        " ORDER BY closed_at LIMIT ?",
        (limit,),
    )


def mark_packed(conn: sqlite3.Connection, session_id: str) -> bool:
    """False when somebody has reopened it meanwhile. In the transaction that moves the folder."""
    return bool(
        changed(
            conn,
            "UPDATE sessions SET archived = 1 WHERE id = ? AND status = 'closed' AND archived = 0",
            (session_id,),
        )
    )
