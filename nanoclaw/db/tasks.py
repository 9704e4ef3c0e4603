"""Statements on ``task_series`` and ``task_runs``: what is scheduled, and what became of it.

Delivery writes when an agent asks, sweep when a run has ended. The rows that run stand in session
files; these tables say which sessions have any, when the next run was meant to be, how often in a
row it failed, and the history.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, exists, many, number, one, text_of, time_of


class SeriesState(StrEnum):
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"


class RunStatus(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class NewSeries:
    session_id: str
    series_id: str
    agent_group_id: str
    created_at: datetime
    asked_in: str | None = None
    recurrence: str | None = None
    tz: str | None = None
    catch_up: str = "latest"
    next_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Series:
    session_id: str
    series_id: str
    agent_group_id: str
    asked_in: str | None
    state: SeriesState
    recurrence: str | None
    tz: str | None
    catch_up: str
    next_run_at: datetime | None
    failures: int
    last_error: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One run that is over. ``started_at`` None: nobody saw when it began."""

    session_id: str
    row_id: str
    series_id: str
    agent_group_id: str
    ended_at: datetime
    status: RunStatus
    due_at: datetime | None = None
    started_at: datetime | None = None
    error: str | None = None
    missed: int = 0


def create(conn: sqlite3.Connection, new: NewSeries) -> bool:
    """False when the session has this series already."""
    now = to_text(new.created_at)
    return bool(
        changed(
            conn,
            "INSERT INTO task_series (session_id, series_id, agent_group_id, asked_in, state,"
            " recurrence, tz, catch_up, next_run_at, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, 'live', ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                new.session_id,
                new.series_id,
                new.agent_group_id,
                new.asked_in,
                new.recurrence,
                new.tz,
                new.catch_up,
                text_of(new.next_run_at),
                now,
                now,
            ),
        )
    )


def get(conn: sqlite3.Connection, session_id: str, series_id: str) -> Series | None:
    return one(
        conn,
        series_of,
        "SELECT * FROM task_series WHERE session_id = ? AND series_id = ?",
        (session_id, series_id),
    )


def asked_in(conn: sqlite3.Connection, session_id: str, series_id: str) -> Series | None:
    """A series with a session of its own, found by the session that asked for it."""
    return one(
        conn,
        series_of,
        "SELECT * FROM task_series WHERE asked_in = ? AND series_id = ?",
        (session_id, series_id),
    )


def open_single(conn: sqlite3.Connection, session_id: str, limit: int) -> list[Series]:
    """Series of one session that run once and have not yet."""
    return many(
        conn,
        series_of,
        "SELECT * FROM task_series WHERE session_id = ? AND state <> 'ended'"
        " AND recurrence IS NULL ORDER BY next_run_at LIMIT ?",
        (session_id, limit),
    )


def count_open(conn: sqlite3.Connection, agent_group_id: str) -> int:
    return number(
        conn,
        "SELECT count(*) FROM task_series WHERE agent_group_id = ? AND state <> 'ended'",
        (agent_group_id,),
    )


def has_skipping(conn: sqlite3.Connection, session_id: str) -> bool:
    """Whether a time that has passed may have to be left out before the session is woken."""
    return exists(
        conn,
        "SELECT 1 FROM task_series INDEXED BY task_series_skip WHERE session_id = ?"
        " AND state = 'live' AND catch_up = 'skip' LIMIT 1",
        (session_id,),
    )


def set_plan(conn: sqlite3.Connection, series: Series, now: datetime) -> None:
    """State, recurrence and next time as in ``series``; the count of failures stays."""
    conn.execute(
        "UPDATE task_series SET state = ?, recurrence = ?, next_run_at = ?, updated_at = ?"
        " WHERE session_id = ? AND series_id = ?",
        (
            series.state,
            series.recurrence,
            text_of(series.next_run_at),
            to_text(now),
            series.session_id,
            series.series_id,
        ),
    )


def set_failures(
    conn: sqlite3.Connection, series: Series, failures: int, error: str | None
) -> None:
    conn.execute(
        "UPDATE task_series SET failures = ?, last_error = ?"
        " WHERE session_id = ? AND series_id = ?",
        (failures, error, series.session_id, series.series_id),
    )


def add_run(conn: sqlite3.Connection, run: TaskRun) -> bool:
    """False when this run is in the history already."""
    return bool(
        changed(
            conn,
            "INSERT INTO task_runs (session_id, row_id, series_id, agent_group_id, due_at,"
            " started_at, ended_at, status, error, missed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (
                run.session_id,
                run.row_id,
                run.series_id,
                run.agent_group_id,
                text_of(run.due_at),
                text_of(run.started_at),
                to_text(run.ended_at),
                run.status,
                run.error,
                run.missed,
            ),
        )
    )


def runs_of(conn: sqlite3.Connection, session_id: str, series_id: str, limit: int) -> list[TaskRun]:
    """Newest first."""
    return many(
        conn,
        run_of,
        "SELECT * FROM task_runs WHERE session_id = ? AND series_id = ?"
        " ORDER BY ended_at DESC, rowid DESC LIMIT ?",
        (session_id, series_id, limit),
    )


def trim_runs(conn: sqlite3.Connection, session_id: str, series_id: str, keep: int) -> int:
    """Drops all but the newest ``keep`` runs of one series."""
    return changed(
        conn,
        "DELETE FROM task_runs WHERE rowid IN (SELECT rowid FROM task_runs"
        " WHERE session_id = ? AND series_id = ? ORDER BY ended_at DESC, rowid DESC"
        " LIMIT -1 OFFSET ?)",
        (session_id, series_id, keep),
    )


def delete_old_runs(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    return changed(
        conn,
        "DELETE FROM task_runs WHERE rowid IN ("
        "SELECT rowid FROM task_runs INDEXED BY task_runs_age WHERE ended_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def delete_ended_series(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    return changed(
        conn,
        "DELETE FROM task_series WHERE rowid IN ("
        "SELECT rowid FROM task_series INDEXED BY task_series_ended"
        " WHERE state = 'ended' AND updated_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def series_of(row: sqlite3.Row) -> Series:
    return Series(
        session_id=row["session_id"],
        series_id=row["series_id"],
        agent_group_id=row["agent_group_id"],
        asked_in=row["asked_in"],
        state=SeriesState(row["state"]),
        recurrence=row["recurrence"],
        tz=row["tz"],
        catch_up=row["catch_up"],
        next_run_at=parse_text(row["next_run_at"]),
        failures=row["failures"],
        last_error=row["last_error"],
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
    )


def run_of(row: sqlite3.Row) -> TaskRun:
    return TaskRun(
        session_id=row["session_id"],
        row_id=row["row_id"],
        series_id=row["series_id"],
        agent_group_id=row["agent_group_id"],
        ended_at=time_of(row["ended_at"]),
        status=RunStatus(row["status"]),
        due_at=parse_text(row["due_at"]),
        started_at=parse_text(row["started_at"]),
        error=row["error"],
        missed=row["missed"],
    )
