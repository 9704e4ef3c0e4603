"""What the administration asks about messages: lists, and everything that belongs to one.

Reads only. A message can be named in many ways, most of them without an index of their own, since
nobody but a person asks for them; such a question looks at the newest rows only.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from nanoclaw.db.deliveries import delivery_of
from nanoclaw.db.effects import Effect, effect_of
from nanoclaw.db.inbound_events import LoggedEvent, event_of
from nanoclaw.db.rows import id_list, many, one
from nanoclaw.model import Delivery, DeliveryState

NEWEST = 20_000
"""Rows in which a message is looked for by a name that has no index."""
MAX_ANSWERS = 200


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which deliveries are wanted; None: whichever. Newest first."""

    states: tuple[DeliveryState, ...] = ()
    session_id: str | None = None
    agent_group_id: str | None = None
    instance: str | None = None
    limit: int = 50


def list_deliveries(conn: sqlite3.Connection, query: MessageQuery) -> list[Delivery]:
    ended_badly = {DeliveryState.FAILED, DeliveryState.UNCERTAIN}
    if query.states and ended_badly.issuperset(query.states):
        return _list_ended_badly(conn, query)
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries WHERE (?1 = '[]' OR state IN (SELECT value FROM json_each(?1)))"
        " AND (?2 IS NULL OR session_id = ?2) AND (?3 IS NULL OR instance = ?3)"
        " AND (?4 IS NULL OR session_id IN (SELECT id FROM sessions WHERE agent_group_id = ?4))"
        " ORDER BY row_number DESC LIMIT ?5",
        _values(query),
    )


def _list_ended_badly(conn: sqlite3.Connection, query: MessageQuery) -> list[Delivery]:
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_ended_badly"
        " WHERE state IN ('failed', 'uncertain') AND state IN (SELECT value FROM json_each(?1))"
        " AND (?2 IS NULL OR session_id = ?2) AND (?3 IS NULL OR instance = ?3)"
        " AND (?4 IS NULL OR session_id IN (SELECT id FROM sessions WHERE agent_group_id = ?4))"
        " ORDER BY row_number DESC LIMIT ?5",
        _values(query),
    )


def _values(query: MessageQuery) -> tuple[str | int | None, ...]:
    return (
        id_list(query.states),
        query.session_id,
        query.instance,
        query.agent_group_id,
        query.limit,
    )


def list_events(conn: sqlite3.Connection, instance: str | None, limit: int) -> list[LoggedEvent]:
    """What came in, newest first."""
    return many(
        conn,
        event_of,
        "SELECT * FROM inbound_events WHERE ?1 IS NULL OR instance = ?1"
        " ORDER BY event_id DESC LIMIT ?2",
        (instance, limit),
    )


# --- one message, by whatever name ----------------------------------------------------------------


def find_event(conn: sqlite3.Connection, name: str) -> LoggedEvent | None:
    """By its number, or the platform's key; the newest of several platforms'."""
    if name.isascii() and name.isdigit() and len(name) < 19:
        found = one(conn, event_of, "SELECT * FROM inbound_events WHERE event_id = ?", (int(name),))
        if found is not None:
            return found
    # Jumps from one channel to the next, because the index begins with it.
    return one(
        conn,
        event_of,
        "WITH RECURSIVE channels(name) AS (SELECT min(instance) FROM inbound_events"
        " UNION ALL SELECT (SELECT min(instance) FROM inbound_events WHERE instance > name)"
        " FROM channels WHERE name IS NOT NULL)"
        " SELECT inbound_events.* FROM channels JOIN inbound_events ON instance = channels.name"
        " AND event_key = ? ORDER BY event_id DESC LIMIT 1",
        (name,),
    )


def search_event(conn: sqlite3.Connection, name: str) -> LoggedEvent | None:
    """By the id of a row that it became, or the platform's id of the message; among the newest."""
    return one(
        conn,
        event_of,
        "SELECT * FROM (SELECT * FROM inbound_events ORDER BY event_id DESC LIMIT ?1) AS newest"
        " WHERE (instr(targets_json, ?2) > 0 AND json_valid(targets_json) AND EXISTS"
        " (SELECT 1 FROM json_each(targets_json, '$.rows') WHERE ?2 IN"
        " (value ->> 'id', value ->> 'message')))"
        " OR (instr(event_json, ?2) > 0 AND json_valid(event_json)"
        " AND event_json -> 'message' ->> 'id' = ?2)"
        " ORDER BY event_id DESC LIMIT 1",
        (NEWEST, name),
    )


def find_delivery(conn: sqlite3.Connection, name: str) -> Delivery | None:
    """By its id, or the agent's own for it, or the platform's; the last two among the newest."""
    found = one(conn, delivery_of, "SELECT * FROM deliveries WHERE delivery_id = ?", (name,))
    return found or one(
        conn,
        delivery_of,
        "SELECT * FROM deliveries WHERE row_number > (SELECT max(row_number) FROM deliveries) - ?1"
        " AND (message_out_id = ?2 OR (platform_message_ids <> '[]' AND EXISTS"
        " (SELECT 1 FROM json_each(platform_message_ids) WHERE value = ?2)))"
        " ORDER BY row_number DESC LIMIT 1",
        (NEWEST, name),
    )


# --- what belongs to it ---------------------------------------------------------------------------


def answers_to(conn: sqlite3.Connection, session_id: str, row_ids: Sequence[str]) -> list[Delivery]:
    """Everything the session's agent said to these rows, in the order of saying."""
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries WHERE session_id = ?"
        " AND in_reply_to IN (SELECT value FROM json_each(?)) ORDER BY row_number LIMIT ?",
        (session_id, id_list(row_ids), MAX_ANSWERS),
    )


def effects_between(
    conn: sqlite3.Connection, session_id: str, since: str, until: str
) -> list[Effect]:
    """What the session asked for in that time; both ends as stored text."""
    return many(
        conn,
        effect_of,
        "SELECT * FROM effects INDEXED BY effects_session WHERE session_id = ?"
        " AND created_at >= ? AND created_at <= ? ORDER BY created_at LIMIT ?",
        (session_id, since, until, MAX_ANSWERS),
    )
