"""What the administration asks about tasks: lists over all sessions, and what has changed lately.

Reads only; ``tasks`` has the statements of those who schedule and run. A list of every series is
bounded by its limit, not by an index: there are few hundred of them.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import many
from nanoclaw.db.tasks import Series, SeriesState, TaskRun, run_of, series_of


def list_series(
    conn: sqlite3.Connection, state: SeriesState | None, agent_group_id: str | None, limit: int
) -> list[Series]:
    """Those that still run first, the next one first; of one agent group or of all."""
    return many(
        conn,
        series_of,
        "SELECT * FROM task_series WHERE state = coalesce(?1, state)"
        " AND agent_group_id = coalesce(?2, agent_group_id)"
        " ORDER BY state = 'ended', next_run_at IS NULL, next_run_at, series_id LIMIT ?3",
        (state, agent_group_id, limit),
    )


def find_series(conn: sqlite3.Connection, series_id: str, limit: int) -> list[Series]:
    """Series of this name in all sessions; the name is the agent's and need not be unique."""
    return many(
        conn,
        series_of,
        "SELECT * FROM task_series WHERE series_id = ? ORDER BY state = 'ended', created_at DESC"
        " LIMIT ?",
        (series_id, limit),
    )


def recent_runs(conn: sqlite3.Connection, agent_group_id: str | None, limit: int) -> list[TaskRun]:
    """Newest first, of all series."""
    return many(
        conn,
        run_of,
        "SELECT * FROM task_runs INDEXED BY task_runs_age"
        " WHERE agent_group_id = coalesce(?, agent_group_id) ORDER BY ended_at DESC LIMIT ?",
        (agent_group_id, limit),
    )


def series_changed_since(conn: sqlite3.Connection, since: datetime, limit: int) -> list[Series]:
    """In the order of their changes."""
    return many(
        conn,
        series_of,
        "SELECT * FROM task_series INDEXED BY task_series_changed WHERE updated_at >= ?"
        " ORDER BY updated_at LIMIT ?",
        (to_text(since), limit),
    )
