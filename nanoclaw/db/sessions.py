"""Statements on ``sessions``: conversations, their due times, leases and containers.

The router creates and marks due, the sweep does everything else; delivery reads running and dirty
sessions. Every question a loop asks is answered from a partial index, so that its cost follows the
number of sessions with work and never the number that exist.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, id_list, many, moment, one, text_of, time_of, word_of
from nanoclaw.model import (
    ContainerStart,
    ContainerStatus,
    NewSession,
    Session,
    SessionMode,
    SessionStatus,
)


def get(conn: sqlite3.Connection, session_id: str) -> Session | None:
    return one(conn, session_of, "SELECT * FROM sessions WHERE id = ?", (session_id,))


def find_active(conn: sqlite3.Connection, session_key: str) -> Session | None:
    return one(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE session_key = ? AND status = 'active'",
        (session_key,),
    )


def find_closed(conn: sqlite3.Connection, session_key: str) -> Session | None:
    """The newest closed one; the next message reopens it instead of beginning anew."""
    return one(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE session_key = ? AND status = 'closed'"
        " ORDER BY created_at DESC LIMIT 1",
        (session_key,),
    )


def create(conn: sqlite3.Connection, new: NewSession) -> Session:
    """The new session, or the active one that another process made for the same key (W-42)."""
    created = one(
        conn,
        session_of,
        "INSERT INTO sessions (id, agent_group_id, messaging_group_id, thread_id, agent_provider,"
        " status, container_status, created_at, session_key, mode)"
        " VALUES (?, ?, ?, ?, ?, 'active', 'stopped', ?, ?, ?)"
        " ON CONFLICT (session_key) WHERE status = 'active' AND session_key IS NOT NULL"
        " DO NOTHING RETURNING *",
        (
            new.id,
            new.agent_group_id,
            new.messaging_group_id,
            new.thread_id,
            new.agent_provider,
            to_text(new.created_at),
            new.session_key,
            new.mode,
        ),
    )
    existing = created or find_active(conn, new.session_key or "")
    assert existing is not None, "an insert that met a conflict leaves the row it met"
    return existing


def list_all(conn: sqlite3.Connection, limit: int) -> list[Session]:
    """Newest first."""
    return many(
        conn, session_of, "SELECT * FROM sessions ORDER BY created_at DESC LIMIT ?", (limit,)
    )


def active_of_group(conn: sqlite3.Connection, agent_group_id: str) -> list[Session]:
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE agent_group_id = ? AND status = 'active'",
        (agent_group_id,),
    )


# --- due work -------------------------------------------------------------------------------------


def due(
    conn: sqlite3.Connection, now: datetime, limit: int, without: Sequence[str] = ()
) -> list[Session]:
    """Sessions to wake, longest waiting first; running, quarantined and failing ones wait.

    ``without``: agent groups that are left out.
    """
    text = to_text(now)
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions INDEXED BY sessions_due"
        " WHERE status = 'active' AND quarantined_at IS NULL AND next_due_at <= ?"
        " AND container_status <> 'running'"
        " AND (container_retry_at IS NULL OR container_retry_at <= ?)"
        " AND agent_group_id NOT IN (SELECT value FROM json_each(?))"
        " ORDER BY next_due_at LIMIT ?",
        (text, text, id_list(without), limit),
    )


def next_due_at(conn: sqlite3.Connection) -> datetime | None:
    """When ``due`` has something to say next; None when nothing waits for a time."""
    return moment(
        conn,
        "SELECT min(at) FROM (SELECT * FROM ("
        "SELECT next_due_at AS at FROM sessions INDEXED BY sessions_due"
        " WHERE status = 'active' AND quarantined_at IS NULL AND next_due_at IS NOT NULL"
        " AND container_status <> 'running' AND container_retry_at IS NULL"
        " ORDER BY next_due_at LIMIT 1)"
        " UNION ALL SELECT max(next_due_at, container_retry_at)"
        " FROM sessions INDEXED BY sessions_retry"
        " WHERE status = 'active' AND quarantined_at IS NULL AND next_due_at IS NOT NULL"
        " AND container_status <> 'running' AND container_retry_at IS NOT NULL)",
    )


def mark_due(conn: sqlite3.Connection, session_id: str, at: datetime) -> bool:
    """Somebody wrote to the session: it has work at ``at``, and it is alive.

    True when nothing runs for it, so that somebody has to be woken.
    """
    text = to_text(at)
    rows = conn.execute(
        "UPDATE sessions SET next_due_at = min(coalesce(next_due_at, ?), ?),"
        " due_epoch = due_epoch + 1, last_active = ? WHERE id = ? RETURNING container_status",
        (text, text, text, session_id),
    ).fetchall()
    return any(_container_status(row) is ContainerStatus.STOPPED for row in rows)


def touch(conn: sqlite3.Connection, session_id: str, at: datetime) -> None:
    """Somebody wrote, but nothing is to be done for it now."""
    conn.execute("UPDATE sessions SET last_active = ? WHERE id = ?", (to_text(at), session_id))


def wake_at(conn: sqlite3.Connection, session_id: str, at: datetime) -> None:
    """Work for a time to come, a task for example; says nothing about traffic."""
    text = to_text(at)
    conn.execute(
        "UPDATE sessions SET next_due_at = min(coalesce(next_due_at, ?), ?),"
        " due_epoch = due_epoch + 1 WHERE id = ?",
        (text, text, session_id),
    )


def settle_due(
    conn: sqlite3.Connection, session_id: str, epoch: int, next_due_at: datetime | None
) -> bool:
    """Replaces the due time, unless work has come in since ``epoch`` was read."""
    return bool(
        changed(
            conn,
            "UPDATE sessions SET next_due_at = ? WHERE id = ? AND due_epoch = ?",
            (text_of(next_due_at), session_id, epoch),
        )
    )


# --- containers -----------------------------------------------------------------------------------


def running(conn: sqlite3.Connection) -> list[Session]:
    return many(conn, session_of, "SELECT * FROM sessions WHERE container_status = 'running'")


def set_running(conn: sqlite3.Connection, session_id: str, start: ContainerStart) -> None:
    conn.execute(
        "UPDATE sessions SET container_status = 'running', container_id = ?,"
        " container_started_at = ?, runtime_version = ? WHERE id = ?",
        (start.container_id, to_text(start.started_at), start.runtime_version, session_id),
    )


def set_stopped(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute(
        "UPDATE sessions SET container_status = 'stopped', container_id = NULL,"
        " container_started_at = NULL, runtime_version = NULL WHERE id = ?",
        (session_id,),
    )


def record_container_failure(
    conn: sqlite3.Connection, session_id: str, error: str, retry_at: datetime
) -> None:
    conn.execute(
        "UPDATE sessions SET container_failures = container_failures + 1, container_error = ?,"
        " container_retry_at = ? WHERE id = ?",
        (error, to_text(retry_at), session_id),
    )


def failing(conn: sqlite3.Connection) -> list[Session]:
    """Sessions whose next start waits because earlier ones failed; given-up ones included."""
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions INDEXED BY sessions_retry"
        " WHERE status = 'active' AND container_retry_at IS NOT NULL",
    )


def clear_container_failure(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute(
        "UPDATE sessions SET container_failures = 0, container_error = NULL,"
        " container_retry_at = NULL WHERE id = ? AND container_failures > 0",
        (session_id,),
    )


def record_death(conn: sqlite3.Connection, session_id: str) -> int:
    """A child died on this session's files; how often that has happened now."""
    row = conn.execute(
        "UPDATE sessions SET deaths = deaths + 1 WHERE id = ? RETURNING deaths", (session_id,)
    ).fetchall()
    return int(row[0][0]) if row else 0


def clear_deaths(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute("UPDATE sessions SET deaths = 0 WHERE id = ? AND deaths > 0", (session_id,))


# --- output ---------------------------------------------------------------------------------------


def dirty(conn: sqlite3.Connection) -> list[Session]:
    """Sessions whose container has ended and whose output must be looked at once more."""
    return many(conn, session_of, "SELECT * FROM sessions WHERE out_dirty = 1")


def mark_dirty(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute("UPDATE sessions SET out_dirty = 1 WHERE id = ?", (session_id,))


def clear_dirty(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute("UPDATE sessions SET out_dirty = 0 WHERE id = ? AND out_dirty = 1", (session_id,))


def set_out_seq(conn: sqlite3.Connection, session_id: str, seq: int) -> None:
    """Output up to ``seq`` is in our books."""
    conn.execute("UPDATE sessions SET out_seq = ? WHERE id = ?", (seq, session_id))


# --- leases ---------------------------------------------------------------------------------------


def acquire_lease(
    conn: sqlite3.Connection, session_id: str, owner: str, now: datetime, ttl: timedelta
) -> int | None:
    """A new fencing token, higher than all before; None while another owner's lease lives."""
    rows = conn.execute(
        "UPDATE sessions SET lease_owner = ?, lease_token = lease_token + 1, lease_expires_at = ?"
        " WHERE id = ? AND (lease_owner IS NULL OR lease_owner = ? OR lease_expires_at <= ?)"
        " RETURNING lease_token",
        (owner, to_text(now + ttl), session_id, owner, to_text(now)),
    ).fetchall()
    return int(rows[0][0]) if rows else None


def renew_leases(
    conn: sqlite3.Connection, owner: str, session_ids: Sequence[str], until: datetime
) -> frozenset[str]:
    """Which of them still belong to ``owner``; the others were lost to somebody else."""
    rows = conn.execute(
        "UPDATE sessions SET lease_expires_at = ?"
        " WHERE lease_owner = ? AND id IN (SELECT value FROM json_each(?)) RETURNING id",
        (to_text(until), owner, id_list(session_ids)),
    ).fetchall()
    return frozenset(row[0] for row in rows)


def release_lease(conn: sqlite3.Connection, session_id: str, token: int) -> bool:
    """Keeps the token, so that the next one is higher."""
    return bool(
        changed(
            conn,
            "UPDATE sessions SET lease_owner = NULL, lease_expires_at = NULL"
            " WHERE id = ? AND lease_token = ? AND lease_owner IS NOT NULL",
            (session_id, token),
        )
    )


# --- life -----------------------------------------------------------------------------------------


def quarantine(conn: sqlite3.Connection, session_id: str, reason: str, now: datetime) -> None:
    """Nothing wakes it until ``release_quarantine``; the first reason is kept."""
    conn.execute(
        "UPDATE sessions SET quarantined_at = ?, quarantine_reason = ?"
        " WHERE id = ? AND quarantined_at IS NULL",
        (to_text(now), reason, session_id),
    )


def release_quarantine(conn: sqlite3.Connection, session_id: str) -> None:
    conn.execute(
        "UPDATE sessions SET quarantined_at = NULL, quarantine_reason = NULL, deaths = 0"
        " WHERE id = ?",
        (session_id,),
    )


def quarantined(conn: sqlite3.Connection) -> list[Session]:
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE quarantined_at IS NOT NULL ORDER BY quarantined_at",
    )


def close(conn: sqlite3.Connection, session_id: str, now: datetime) -> bool:
    """False while work is due, a container runs, or something it said is still on its way.

    What a person has still to decide, or what was decided and is not done, ends in the session.
    """
    return bool(
        changed(
            conn,
            "UPDATE sessions SET status = 'closed', closed_at = ? WHERE id = ?"
            " AND status = 'active' AND container_status = 'stopped' AND next_due_at IS NULL"
            " AND out_dirty = 0 AND NOT EXISTS (SELECT 1 FROM deliveries"
            " WHERE session_id = sessions.id AND state IN ('held', 'queued', 'sending'))"
            " AND NOT EXISTS (SELECT 1 FROM pending_approvals"
            " WHERE session_id = sessions.id AND status = 'pending')"
            " AND NOT EXISTS (SELECT 1 FROM effects"
            " WHERE session_id = sessions.id AND state IN ('pending', 'running'))",
            (to_text(now), session_id),
        )
    )


def reopen(conn: sqlite3.Connection, session_id: str) -> bool:
    """The same conversation goes on; its folder comes back when somebody first writes to it.

    False when it is open already, or another one has taken its place.
    """
    return bool(
        changed(
            conn,
            "UPDATE sessions SET status = 'active', closed_at = NULL, archived = 0"
            " WHERE id = ? AND status = 'closed' AND NOT EXISTS (SELECT 1 FROM sessions AS other"
            " WHERE other.session_key = sessions.session_key AND other.status = 'active')",
            (session_id,),
        )
    )


def session_of(row: sqlite3.Row) -> Session:
    """For repositories that select whole session rows."""
    return Session(
        id=row["id"],
        agent_group_id=row["agent_group_id"],
        messaging_group_id=row["messaging_group_id"],
        thread_id=row["thread_id"],
        agent_provider=row["agent_provider"],
        status=word_of(SessionStatus, row["status"]) or SessionStatus.CLOSED,
        container_status=_container_status(row),
        last_active=parse_text(row["last_active"]),
        created_at=time_of(row["created_at"]),
        session_key=row["session_key"],
        mode=word_of(SessionMode, row["mode"]),
        lease_owner=row["lease_owner"],
        lease_token=row["lease_token"],
        lease_expires_at=parse_text(row["lease_expires_at"]),
        next_due_at=parse_text(row["next_due_at"]),
        due_epoch=row["due_epoch"],
        out_dirty=bool(row["out_dirty"]),
        out_seq=row["out_seq"],
        container_id=row["container_id"],
        container_started_at=parse_text(row["container_started_at"]),
        runtime_version=row["runtime_version"],
        quarantined_at=parse_text(row["quarantined_at"]),
        quarantine_reason=row["quarantine_reason"],
        deaths=row["deaths"],
        container_retry_at=parse_text(row["container_retry_at"]),
        container_failures=row["container_failures"],
        container_error=row["container_error"],
    )


def _container_status(row: sqlite3.Row) -> ContainerStatus:
    return word_of(ContainerStatus, row["container_status"]) or ContainerStatus.STOPPED
