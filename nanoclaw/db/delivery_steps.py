"""Statements on ``deliveries`` for what lies between being written and being sent, or behind it.

Files that are copied out of the agent's folder, messages that a person has to allow, backlogs that
are joined, and what agent and people are still to be told. Written by delivery alone.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.deliveries import Failure, delivery_of
from nanoclaw.db.rows import changed, exists, id_list, many, number
from nanoclaw.events import SpoolFile
from nanoclaw.model import Delivery

ASKING = "asking"
"""Stands for a request's id until it is made, later in the same transaction."""

# --- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenFiles:
    """What was copied for one message; ``problem`` is for the agent, about those that were not."""

    delivery_id: str
    files: tuple[SpoolFile, ...] = ()
    problem: str | None = None


def wanting_files(conn: sqlite3.Connection, limit: int) -> list[Delivery]:
    """Messages whose files are still to be copied, oldest first."""
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_wanted"
        " WHERE files_state = 'wanted' AND state IN ('held', 'queued')"
        " ORDER BY row_number LIMIT ?",
        (limit,),
    )


def spooled_bytes(conn: sqlite3.Connection, session_id: str) -> int:
    """What a session's waiting messages take up in the spool folders of channels."""
    return number(
        conn,
        "SELECT total(files_bytes) FROM deliveries INDEXED BY deliveries_spooled"
        " WHERE session_id = ? AND files_bytes > 0 AND state IN ('held', 'queued', 'sending')",
        (session_id,),
    )


def set_files(conn: sqlite3.Connection, taken: TakenFiles, now: datetime) -> None:
    """From now on every attempt sends these files, whatever becomes of the agent's own.

    A held message must be asked about in the same transaction.
    """
    conn.execute(
        "UPDATE deliveries SET files_state = 'taken', files = ?, files_bytes = ?,"
        " files_problem = ?, told = min(told, ?), updated_at = ?,"
        " waits_for = iif(state = 'held', coalesce(waits_for, ?), waits_for)"
        " WHERE delivery_id = ? AND files_state = 'wanted'",
        (
            json.dumps([asdict(file) for file in taken.files]),
            sum(file.size for file in taken.files),
            taken.problem,
            int(taken.problem is None),
            to_text(now),
            ASKING,
            taken.delivery_id,
        ),
    )


def add_files_problem(
    conn: sqlite3.Connection, delivery_id: str, problem: str, now: datetime
) -> None:
    """The channel does not take some of the files; its agent is told."""
    conn.execute(
        "UPDATE deliveries SET files_problem = ?, told = 0, updated_at = ? WHERE delivery_id = ?",
        (problem, to_text(now), delivery_id),
    )


# --- messages that a person has to allow ----------------------------------------------------------


def set_waits_for(conn: sqlite3.Connection, delivery_id: str, approval_id: str) -> None:
    conn.execute(
        "UPDATE deliveries SET waits_for = ? WHERE delivery_id = ?", (approval_id, delivery_id)
    )


def release(
    conn: sqlite3.Connection, delivery_id: str, start: datetime, expires_at: datetime, now: datetime
) -> bool:
    """An allowed message takes its place behind what was said meanwhile; False when it had it."""
    return bool(
        changed(
            conn,
            "UPDATE deliveries SET state = 'queued', next_attempt_at = ?, expires_at = ?,"
            " updated_at = ?, row_number = (SELECT max(row_number) + 1 FROM deliveries)"
            " WHERE delivery_id = ? AND state = 'held'",
            (to_text(start), to_text(expires_at), to_text(now), delivery_id),
        )
    )


def has_held(conn: sqlite3.Connection) -> bool:
    return exists(
        conn, "SELECT 1 FROM deliveries INDEXED BY deliveries_held WHERE state = 'held' LIMIT 1"
    )


def fail_denied(conn: sqlite3.Connection, now: datetime) -> list[Delivery]:
    """Ends held messages whose request was refused, expired or taken back; each once.

    The agent has been told by the request itself.
    """
    return many(
        conn,
        delivery_of,
        "UPDATE deliveries SET state = 'failed', failure = ?, last_error = 'not allowed',"
        " updated_at = ? WHERE row_number IN (SELECT held.row_number FROM deliveries AS held"
        " INDEXED BY deliveries_held LEFT JOIN pending_approvals"
        " ON pending_approvals.approval_id = held.waits_for"
        " WHERE held.state = 'held' AND held.waits_for IS NOT NULL"
        " AND coalesce(pending_approvals.status, 'gone') <> 'pending'"
        " AND NOT EXISTS (SELECT 1 FROM effects WHERE effects.approval_id = held.waits_for"
        " AND effects.kind = 'send_held' AND effects.state IN ('pending', 'running')))"
        " RETURNING *",
        (Failure.DENIED, to_text(now)),
    )


# --- what is still to be told ---------------------------------------------------------------------


def untold(conn: sqlite3.Connection, limit: int) -> list[Delivery]:
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_untold WHERE told = 0"
        " ORDER BY row_number LIMIT ?",
        (limit,),
    )


def mark_told(conn: sqlite3.Connection, delivery: Delivery) -> None:
    """Unless something else has happened to it since it was read."""
    conn.execute(
        "UPDATE deliveries SET told = 1 WHERE delivery_id = ? AND updated_at = ?",
        (delivery.delivery_id, to_text(delivery.updated_at)),
    )


def told_before(conn: sqlite3.Connection, delivery: Delivery, since: datetime) -> bool:
    """Whether the agent has heard of another failure in this chat since then."""
    row = conn.execute(
        "SELECT 1 FROM deliveries INDEXED BY deliveries_age WHERE created_at >= ?"
        " AND session_id = ? AND instance = ? AND platform_id = ? AND delivery_id <> ?"
        " AND state = 'failed' AND told = 1 LIMIT 1",
        (
            to_text(since),
            delivery.session_id,
            delivery.instance,
            delivery.platform_id,
            delivery.delivery_id,
        ),
    ).fetchone()
    return row is not None


# --- a long backlog -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """``leader`` says ``content`` from now on, which is what the followers would have said."""

    leader: str
    content: str
    followers: tuple[str, ...]
    completes: bool


def join(conn: sqlite3.Connection, joined: Joined) -> None:
    """The followers end as their leader ends (C-39)."""
    conn.execute(
        "UPDATE deliveries SET content = ?, completes = max(completes, ?) WHERE delivery_id = ?",
        (joined.content, int(joined.completes), joined.leader),
    )
    conn.execute(
        "UPDATE deliveries SET joined_into = ?"
        " WHERE delivery_id IN (SELECT value FROM json_each(?))",
        (joined.leader, id_list(joined.followers)),
    )
