"""Statements on ``effects``: decided things that are still to be done, or were.

Router and admin only record; delivery carries out, one place for all. The id comes from what caused
the effect, so that recording it twice is one effect; whoever carries one out must be able to repeat
it, because a crash may fall between the deed and ``finish``.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, moment, one, time_of

HOLDS_UP_FOR = timedelta(minutes=10)
HOLDS_UP_ATTEMPTS = 8
"""What has failed so often and for so long is not waited for any more by what comes after it: a
folder that cannot be written must not silence an agent for a day."""


class EffectState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewEffect:
    """``payload_hash`` is the one that a person approved, where one did."""

    effect_id: str
    kind: str
    requested_by: str
    payload: str
    payload_hash: str
    created_at: datetime
    session_id: str | None = None
    agent_group_id: str | None = None
    approval_id: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    effect_id: str
    kind: str
    requested_by: str
    payload: str
    payload_hash: str
    session_id: str | None
    agent_group_id: str | None
    approval_id: str | None
    state: EffectState
    attempts: int
    next_attempt_at: datetime
    result: str | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime


def record(conn: sqlite3.Connection, new: NewEffect) -> bool:
    """False when this effect, or one for the same approval, is recorded already."""
    text = to_text(new.created_at)
    return bool(
        changed(
            conn,
            "INSERT INTO effects (effect_id, kind, session_id, agent_group_id, approval_id,"
            " requested_by, payload, payload_hash, state, next_attempt_at, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                new.effect_id,
                new.kind,
                new.session_id,
                new.agent_group_id,
                new.approval_id,
                new.requested_by,
                new.payload,
                new.payload_hash,
                text,
                text,
                text,
            ),
        )
    )


def get(conn: sqlite3.Connection, effect_id: str) -> Effect | None:
    return one(conn, effect_of, "SELECT * FROM effects WHERE effect_id = ?", (effect_id,))


def due(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Effect]:
    """What can be carried out now, longest waiting first.

    What a session's agent has asked for waits for everything it asked for before, unless that has
    failed for long; sessions do not wait for each other, and what a person has approved waits for
    nobody.
    """
    return many(
        conn,
        effect_of,
        "SELECT * FROM effects AS one INDEXED BY effects_due"
        " WHERE state = 'pending' AND next_attempt_at <= ? AND NOT EXISTS ("
        "SELECT 1 FROM effects AS earlier INDEXED BY effects_open"
        " WHERE earlier.state IN ('pending', 'running') AND earlier.approval_id IS NULL"
        " AND earlier.session_id IS NOT NULL AND earlier.session_id = one.session_id"
        " AND one.approval_id IS NULL AND earlier.rowid < one.rowid"
        " AND (earlier.attempts < ? OR earlier.created_at > ?))"
        " ORDER BY next_attempt_at, rowid LIMIT ?",
        (to_text(now), HOLDS_UP_ATTEMPTS, to_text(now - HOLDS_UP_FOR), limit),
    )


def next_attempt_at(conn: sqlite3.Connection, after: datetime) -> datetime | None:
    """The next moment at which ``due`` may have more to say; whoever waits for an earlier one is
    looked at when that one has ended."""
    return moment(
        conn,
        "SELECT min(next_attempt_at) FROM effects INDEXED BY effects_due"
        " WHERE state = 'pending' AND next_attempt_at > ?",
        (to_text(after),),
    )


def begin(conn: sqlite3.Connection, effect_id: str, now: datetime) -> bool:
    """False when somebody else has it, or it is done."""
    return bool(
        changed(
            conn,
            "UPDATE effects SET state = 'running', attempts = attempts + 1, updated_at = ?"
            " WHERE effect_id = ? AND state = 'pending'",
            (to_text(now), effect_id),
        )
    )


def attempt_of(conn: sqlite3.Connection, effect_id: str) -> int | None:
    """Which attempt is under way; None when none is."""
    row = conn.execute(
        "SELECT attempts FROM effects WHERE effect_id = ? AND state = 'running'", (effect_id,)
    ).fetchone()
    return None if row is None else int(row[0])


def finish(conn: sqlite3.Connection, effect_id: str, result: str, now: datetime) -> None:
    conn.execute(
        "UPDATE effects SET state = 'done', result = ?, last_error = NULL, updated_at = ?"
        " WHERE effect_id = ? AND state = 'running'",
        (result, to_text(now), effect_id),
    )


def keep_result(conn: sqlite3.Connection, effect_id: str, result: str) -> None:
    """In the transaction of the deed: if the effect is repeated, it is known to be done."""
    conn.execute(
        "UPDATE effects SET result = ? WHERE effect_id = ? AND state = 'running'",
        (result, effect_id),
    )


def retry(
    conn: sqlite3.Connection, effect_id: str, at: datetime, error: str, now: datetime
) -> None:
    conn.execute(
        "UPDATE effects SET state = 'pending', next_attempt_at = ?, last_error = ?, updated_at = ?"
        " WHERE effect_id = ? AND state = 'running'",
        (to_text(at), error, to_text(now), effect_id),
    )


def fail(conn: sqlite3.Connection, effect_id: str, error: str, now: datetime) -> None:
    """The end: it will not be tried again."""
    conn.execute(
        "UPDATE effects SET state = 'failed', last_error = ?, updated_at = ?"
        " WHERE effect_id = ? AND state IN ('pending', 'running')",
        (error, to_text(now), effect_id),
    )


def requeue_interrupted(conn: sqlite3.Connection) -> int:
    """Those that were being carried out when the process ended are repeated."""
    return changed(
        conn,
        "UPDATE effects INDEXED BY effects_running SET state = 'pending' WHERE state = 'running'",
    )


def delete_ended(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Ended ones that nothing has changed since ``before``; at most ``limit`` of them."""
    return changed(
        conn,
        "DELETE FROM effects WHERE rowid IN (SELECT rowid FROM effects INDEXED BY effects_ended"
        " WHERE state IN ('done', 'failed') AND updated_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def effect_of(row: sqlite3.Row) -> Effect:
    return Effect(
        effect_id=row["effect_id"],
        kind=row["kind"],
        requested_by=row["requested_by"],
        payload=row["payload"],
        payload_hash=row["payload_hash"],
        session_id=row["session_id"],
        agent_group_id=row["agent_group_id"],
        approval_id=row["approval_id"],
        state=EffectState(row["state"]),
        attempts=row["attempts"],
        next_attempt_at=time_of(row["next_attempt_at"]),
        result=row["result"],
        last_error=row["last_error"],
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
    )
