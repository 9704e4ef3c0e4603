"""What goes with an agent group or a chat when somebody deletes it (N-66).

Tables are found by their columns, so that a table of a later version is not forgotten. History
refers by id alone and outlives everything: it is neither counted nor deleted. Names come from the
schema and are checked; values are bound.
"""

import re
import sqlite3
from dataclasses import dataclass

from nanoclaw.db.rows import many

AGENT_GROUP = "agent_group_id"
CHAT = "messaging_group_id"
HISTORY = frozenset({"audit", "effects", "task_runs", "usage"})
OWN = frozenset({"container_configs", "created_agents", "engagements"})
"""Mere state of the thing itself: nothing that somebody would miss."""

_NAME = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class DoomedSession:
    """``is_up``: a container works for it, or is being started."""

    id: str
    agent_group_id: str
    is_up: bool


def dependants(conn: sqlite3.Connection, column: str, value: str) -> dict[str, int]:
    """How many rows of which table would go with it; by table."""
    counts = {
        table: _count(conn, table, column, value)
        for table in _tables_with(conn, column)
        if table not in OWN
    }
    return {table: count for table, count in sorted(counts.items()) if count}


def sessions_with(conn: sqlite3.Connection, column: str, value: str) -> list[DoomedSession]:
    return many(
        conn,
        lambda row: DoomedSession(row["id"], row["agent_group_id"], bool(row["is_up"])),
        "SELECT id, agent_group_id,"
        " container_status = 'running' OR lease_owner IS NOT NULL AS is_up FROM sessions"
        " WHERE CASE ?1 WHEN 'agent_group_id' THEN agent_group_id ELSE messaging_group_id END = ?2",
        (column, value),
    )


def delete_with(conn: sqlite3.Connection, column: str, value: str) -> None:
    """Every row that refers to it, in the caller's transaction; not the thing itself.

    References are checked at the commit: the rows refer to each other.
    """
    conn.execute("PRAGMA defer_foreign_keys = ON")
    for session in sessions_with(conn, column, value):
        for table in _tables_with(conn, "session_id"):
            _delete(conn, table, "session_id", session.id)
    for table in _tables_with(conn, column):
        _delete(conn, table, column, value)


def _tables_with(conn: sqlite3.Connection, column: str) -> list[str]:
    rows = conn.execute(
        "SELECT tables.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND columns.name = ? ORDER BY tables.name",
        (column,),
    )
    return [row[0] for row in rows.fetchall() if row[0] not in HISTORY]


def _count(conn: sqlite3.Connection, table: str, column: str, value: str) -> int:
    _check(table, column)
    sql = f"SELECT count(*) FROM {table} WHERE {column} = ?"  # noqa: S608 - checked names
    return int(conn.execute(sql, (value,)).fetchone()[0])


def _delete(conn: sqlite3.Connection, table: str, column: str, value: str) -> None:
    _check(table, column)
    conn.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608 - checked names


def _check(*names: str) -> None:
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a table or column")
