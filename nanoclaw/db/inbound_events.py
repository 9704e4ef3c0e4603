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
from nanoclaw.db.rows import changed, id_list, many, number, one, time_of
from nanoclaw.model import EventState


@dataclass(frozen=True, slots=True)
class NewInboundEvent:
    """An entry of the redo log. Without targets there is nothing to route."""

    instance: str
    event_key: str
    received_at: datetime
    outcome: str
    """routed, held, ignored or rejected."""
    reason: str | None = None
    event_json: str | None = None
    targets_json: str | None = None
    waits_for: str | None = None
    """The request that somebody has to decide first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent(NewInboundEvent):
    """An entry of the redo log as stored."""

    event_id: int
    state: EventState


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
        " event_json, targets_json, waits_for) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
            new.waits_for,
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
    return one(conn, event_of, "SELECT * FROM inbound_events WHERE event_id = ?", (event_id,))


def unrouted(conn: sqlite3.Connection, limit: int, *, after: int = 0) -> list[LoggedEvent]:
    """Entries behind id ``after`` whose rows may be missing in session files, oldest first."""
    return many(
        conn,
        event_of,
        "SELECT * FROM inbound_events WHERE state = 'committed' AND event_id > ?"
        " ORDER BY event_id LIMIT ?",
        (after, limit),
    )


def held(conn: sqlite3.Connection, limit: int, *, after: int = 0) -> list[LoggedEvent]:
    """Events behind id ``after`` that wait for somebody, or for the router after that."""
    return many(
        conn,
        event_of,
        "SELECT * FROM inbound_events WHERE event_id IN ("
        "SELECT event_id FROM inbound_events INDEXED BY inbound_events_waiting"
        " WHERE waits_for IS NOT NULL"
        " UNION ALL SELECT event_id FROM inbound_events INDEXED BY inbound_events_released"
        " WHERE released = 1) AND event_id > ? ORDER BY event_id LIMIT ?",
        (after, limit),
    )


def keep_targets(conn: sqlite3.Connection, event_id: int, targets_json: str) -> None:
    """Some rows are in their files; these are left."""
    conn.execute(
        "UPDATE inbound_events SET targets_json = ? WHERE event_id = ? AND state = 'committed'",
        (targets_json, event_id),
    )


def mark_routed(conn: sqlite3.Connection, event_ids: Sequence[int]) -> None:
    conn.execute(
        "UPDATE inbound_events SET state = 'routed'"
        " WHERE event_id IN (SELECT value FROM json_each(?))",
        (id_list(event_ids),),
    )


# --- events that wait for a person ----------------------------------------------------------------


def release(conn: sqlite3.Connection, waits_for: str) -> int:
    """Somebody decided: the events that waited are decided anew by the router. How many.

    Inside the decision's transaction; ring ROUTER afterwards. Repeating it changes nothing.
    """
    return changed(
        conn,
        "UPDATE inbound_events SET released = 1, waits_for = NULL WHERE waits_for = ?",
        (waits_for,),
    )


def drop_held(conn: sqlite3.Connection, waits_for: str) -> int:
    """Somebody refused, or nobody decided in time: forgets what the events said. How many."""
    return changed(
        conn,
        "UPDATE inbound_events SET waits_for = NULL, event_json = NULL,"
        " reason = 'nobody allowed it', outcome = iif(outcome = 'held', 'ignored', outcome)"
        " WHERE waits_for = ?",
        (waits_for,),
    )


def expire_held(conn: sqlite3.Connection, before: datetime) -> int:
    """As ``drop_held``, for everything that came before; the net below the requests' own expiry."""
    return changed(
        conn,
        "UPDATE inbound_events INDEXED BY inbound_events_waiting"
        " SET waits_for = NULL, event_json = NULL,"
        " reason = 'nobody decided in time', outcome = iif(outcome = 'held', 'ignored', outcome)"
        " WHERE waits_for IS NOT NULL AND received_at < ?",
        (to_text(before),),
    )


def count_waiting(conn: sqlite3.Connection, waits_for: str) -> int:
    return number(conn, "SELECT count(*) FROM inbound_events WHERE waits_for = ?", (waits_for,))


def released(conn: sqlite3.Connection, limit: int) -> list[LoggedEvent]:
    """Events that somebody has decided about and that are to be decided anew, oldest first."""
    return many(
        conn,
        event_of,
        "SELECT * FROM inbound_events INDEXED BY inbound_events_released"
        " WHERE released = 1 ORDER BY event_id LIMIT ?",
        (limit,),
    )


def decide_anew(conn: sqlite3.Connection, event_id: int, new: NewInboundEvent) -> None:
    """What the second look at a released event has led to; key and time stay."""
    state = EventState.ROUTED if new.targets_json is None else EventState.COMMITTED
    conn.execute(
        "UPDATE inbound_events SET released = 0, state = ?, outcome = ?, reason = ?,"
        " event_json = ?, targets_json = ?, waits_for = ? WHERE event_id = ?",
        (
            state,
            new.outcome,
            new.reason,
            new.event_json,
            new.targets_json,
            new.waits_for,
            event_id,
        ),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int = 10_000) -> int:
    """Forgets routed entries of long ago; how many. Their events would count as new again."""
    return changed(
        conn,
        "DELETE FROM inbound_events WHERE event_id IN (SELECT event_id FROM inbound_events"
        " WHERE received_at < ? AND state = 'routed' ORDER BY received_at LIMIT ?)",
        (to_text(before), limit),
    )


def event_of(row: sqlite3.Row) -> LoggedEvent:
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
        waits_for=row["waits_for"],
    )
