"""Copies of the central database, their check, and what a restored one must forget.

Called by ``nanoclaw.backup`` only. ``copy_database`` works beside a running host. ``settle``
makes a restored database safe: whatever was about to be said when the backup was made has
probably been said since, so it is held for the owner's word and never sent by itself.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.clock import to_text
from nanoclaw.db.connection import open_read_only, transaction
from nanoclaw.db.rows import changed, number
from nanoclaw.errors import StateError

HELD_REASON = "waiting when the backup was made; it may have been sent since"
LEASE_STEP = 1_000_000
"""Added to each session's fencing token: no agent of the time before the restore can reach it."""
MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """Where a session lies and how far its messages were taken in."""

    id: str
    agent_group_id: str
    out_seq: int
    archived: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """How many messages are held, and how many notices to the owner were dropped."""

    deliveries: int = 0
    notices: int = 0


def copy_database(source: Path, target: Path) -> int:
    """A consistent copy as one file without a log; its schema number. Raises StateError."""
    try:
        with closing(open_read_only(source)) as conn, closing(sqlite3.connect(target)) as copy:
            conn.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            found: int = copy.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise StateError(f"cannot copy {source}: {error}; check the disk") from error
    return found


def problems(conn: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file and its references; empty when all is well."""
    found = [str(row[0]) for row in conn.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")]
    found = [] if found == ["ok"] else found
    for row in conn.execute("PRAGMA foreign_key_check").fetchmany(MAX_PROBLEMS):
        found.append(f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}")
    return found


def session_places(conn: sqlite3.Connection) -> list[SessionPlace]:
    rows = conn.execute("SELECT id, agent_group_id, out_seq, archived FROM sessions ORDER BY id")
    return [SessionPlace(row[0], row[1], row[2], bool(row[3])) for row in rows]


def converted_sessions(path: Path) -> frozenset[tuple[str, str]]:
    """Agent group and id of those whose folder is of our form: only the host writes its ``in``."""
    with closing(open_read_only(path)) as conn:
        columns = {row[0] for row in conn.execute("SELECT name FROM pragma_table_info('sessions')")}
        if "converted" not in columns:
            return frozenset()
        rows = conn.execute("SELECT agent_group_id, id FROM sessions WHERE converted = 1")
        return frozenset((row[0], row[1]) for row in rows)


def settle(conn: sqlite3.Connection, now: datetime) -> Settled:
    """In one transaction; doing it twice changes nothing more but the tokens."""
    text = to_text(now)
    with transaction(conn):
        held = changed(
            conn,
            "UPDATE deliveries SET state = 'uncertain', failure = 'uncertain', last_error = ?,"
            " told = 1, updated_at = ? WHERE state IN ('queued', 'sending')",
            (HELD_REASON, text),
        )
        notices = changed(
            conn,
            "UPDATE owner_notices SET state = 'dropped', updated_at = ? WHERE state = 'created'",
            (text,),
        )
        conn.execute(
            "UPDATE sessions SET lease_owner = NULL, lease_expires_at = NULL,"
            " lease_token = lease_token + ?, container_id = NULL, container_started_at = NULL,"
            " container_status = 'stopped'",
            (LEASE_STEP,),
        )
    return Settled(held, notices)


def make_idle(conn: sqlite3.Connection) -> None:
    """For a drill: nothing in this copy is ever due."""
    with transaction(conn):
        conn.execute("UPDATE sessions SET next_due_at = NULL, out_dirty = 0")
        conn.execute("UPDATE inbound_events SET state = 'routed' WHERE state = 'committed'")


def count_groups(conn: sqlite3.Connection) -> int:
    return number(conn, "SELECT count(*) FROM agent_groups")
