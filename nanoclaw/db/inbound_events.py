"""Statements on ``inbound_events``: the redo log of everything that channels handed over.

Written by the router alone. An entry is unique per channel instance and platform key, so a second
copy of an event is recognised for as long as the entry is kept; it stays ``committed`` until all
its rows stand in their session files.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, id_list, many, one, time_of
from nanoclaw.model import EventState, LoggedEvent, NewInboundEvent


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What became of an event that has been seen before."""

    event_id: int
    outcome: str
    reason: str | None


def insert(conn: sqlite3.Connection, new: NewInboundEvent) -> int | None:
    """The entry's id, or None when the event is in the log already."""
    state = EventState.ROUTED if new.targets_json is None else EventState.COMMITTED
    rows = conn.execute(
        "INSERT INTO inbound_events (instance, event_key, received_at, state, outcome, reason,"
        " event_json, targets_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (instance, event_key) DO NOTHING RETURNING event_id",
        (
            new.instance,
            new.event_key,
            to_text(new.received_at),
            state,
            new.outcome,
            new.reason,
            new.event_json,
            new.targets_json,
        ),
    ).fetchall()
    return int(rows[0][0]) if rows else None


def outcome_of(conn: sqlite3.Connection, instance: str, event_key: str) -> StoredOutcome | None:
    return one(
        conn,
        lambda row: StoredOutcome(row["event_id"], row["outcome"], row["reason"]),
        "SELECT event_id, outcome, reason FROM inbound_events WHERE instance = ? AND event_key = ?",
        (instance, event_key),
    )


def get(conn: sqlite3.Connection, event_id: int) -> LoggedEvent | None:
    return one(conn, _event_of, "SELECT * FROM inbound_events WHERE event_id = ?", (event_id,))


def unrouted(conn: sqlite3.Connection, limit: int, *, after: int = 0) -> list[LoggedEvent]:
    """Entries behind id ``after`` whose rows may be missing in session files, oldest first."""
    return many(
        conn,
        _event_of,
        "SELECT * FROM inbound_events WHERE state = 'committed' AND event_id > ?"
        " ORDER BY event_id LIMIT ?",
        (after, limit),
    )


def mark_routed(conn: sqlite3.Connection, event_ids: Sequence[int]) -> None:
    conn.execute(
        "UPDATE inbound_events SET state = 'routed'"
        " WHERE event_id IN (SELECT value FROM json_each(?))",
        (id_list(event_ids),),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int = 10_000) -> int:
    """Forgets routed entries of long ago; how many. Their events would count as new again."""
    return changed(
        conn,
        "DELETE FROM inbound_events WHERE event_id IN (SELECT event_id FROM inbound_events"
        " WHERE received_at < ? AND state = 'routed' ORDER BY received_at LIMIT ?)",
        (to_text(before), limit),
    )


def _event_of(row: sqlite3.Row) -> LoggedEvent:
    return LoggedEvent(
        event_id=row["event_id"],
        instance=row["instance"],
        event_key=row["event_key"],
        received_at=time_of(row["received_at"]),
        state=EventState(row["state"]),
        outcome=row["outcome"],
        reason=row["reason"],
        event_json=row["event_json"],
        targets_json=row["targets_json"],
    )
