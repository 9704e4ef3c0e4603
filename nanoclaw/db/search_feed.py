"""What of the central database goes into the search index, read forward from where it was left.

Reads only; asked by the admin process's indexer. Every question begins at an index and is bounded,
so that a round costs what is new and nothing for what exists.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import id_list, many, number, time_of


@dataclass(frozen=True, slots=True)
class SaidMessage:
    """An agent's message, as far as it is of interest for finding it."""

    row_number: int
    delivery_id: str
    session_id: str
    agent_group_id: str
    channel: str
    kind: str
    content: str
    created_at: datetime


def messages_after(conn: sqlite3.Connection, row_number: int, limit: int) -> list[SaidMessage]:
    return many(
        conn,
        lambda row: SaidMessage(
            row["row_number"],
            row["delivery_id"],
            row["session_id"],
            row["agent_group_id"],
            row["instance"],
            row["kind"],
            row["content"],
            time_of(row["created_at"]),
        ),
        "SELECT d.row_number, d.delivery_id, d.session_id, s.agent_group_id, d.instance, d.kind,"
        " d.content, d.created_at FROM (SELECT * FROM deliveries WHERE row_number > ?"
        " ORDER BY row_number LIMIT ?) AS d JOIN sessions AS s ON s.id = d.session_id"
        " WHERE d.source = 'agent' ORDER BY d.row_number",
        (row_number, limit),
    )


def last_message(conn: sqlite3.Connection, row_number: int, limit: int) -> int:
    """The highest number among the next ``limit`` receipts; 0 when there are no receipts at all."""
    return number(
        conn,
        "SELECT coalesce((SELECT max(row_number) FROM (SELECT row_number FROM deliveries"
        " WHERE row_number > ?1 ORDER BY row_number LIMIT ?2)),"
        " min(?1, coalesce((SELECT max(row_number) FROM deliveries), 0)))",
        (row_number, limit),
    )


def new_sessions(conn: sqlite3.Connection, after_rowid: int, limit: int) -> list[tuple[int, str]]:
    """Sessions in the order in which they were stored, with their place in it."""
    rows = conn.execute(
        "SELECT rowid, id FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?",
        (after_rowid, limit),
    )
    return [(row[0], row[1]) for row in rows]


def lively_sessions(conn: sqlite3.Connection, since: datetime) -> list[tuple[str, str]]:
    """Sessions with traffic since then, and when the last of it was, as stored."""
    rows = conn.execute(
        "SELECT id, last_active FROM sessions INDEXED BY sessions_quiet"
        " WHERE status = 'active' AND last_active >= ? ORDER BY last_active",
        (to_text(since),),
    )
    return [(row[0], row[1]) for row in rows]


def existing_sessions(conn: sqlite3.Connection, session_ids: list[str]) -> frozenset[str]:
    rows = conn.execute(
        "SELECT id FROM sessions WHERE id IN (SELECT value FROM json_each(?))",
        (id_list(session_ids),),
    )
    return frozenset(row[0] for row in rows)
