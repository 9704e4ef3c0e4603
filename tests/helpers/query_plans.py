"""How SQLite means to answer what a function asks."""

import sqlite3
from collections.abc import Callable

Ask = Callable[[sqlite3.Connection], object]


def plan_of(conn: sqlite3.Connection, ask: Ask) -> list[str]:
    """The query plans of every statement that ``ask`` runs."""
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    ask(conn)
    conn.set_trace_callback(None)
    return [
        row["detail"]
        for statement in statements
        for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
