"""Brings an older ``inbound.db`` to today's columns, inside the caller's write transaction.

Called by the writer at every open; a file that already carries our contract number costs one
read. Idempotent: a crash in between leaves the old file, because the number is part of the same
transaction. Old rows keep their values (H-40, H-41).
"""

import sqlite3
from pathlib import Path

from contract.inbound import schema
from contract.sqlitefile import columns, contract_version
from contract.version import CONTRACT_VERSION


def upgrade(conn: sqlite3.Connection, path: Path) -> None:
    """Adds what is missing; raises SchemaMismatch for a file of a newer version."""
    if contract_version(conn, path) == CONTRACT_VERSION:
        return
    for statement in schema.TABLES:
        conn.execute(statement)
    had_series = "series_id" in columns(conn, "messages_in")
    add_missing(conn, "messages_in", schema.ADDED_TO_MESSAGES_IN)
    add_missing(conn, "delivered", schema.ADDED_TO_DELIVERED)
    if not had_series:
        conn.execute("UPDATE messages_in SET series_id = id WHERE series_id IS NULL")
    for statement in schema.INDEXES:
        conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {CONTRACT_VERSION:d}")


def add_missing(
    conn: sqlite3.Connection, table: str, additions: tuple[tuple[str, str], ...]
) -> None:
    """Runs the ALTER of every listed column that the table lacks."""
    present = columns(conn, table)
    for column, statement in additions:
        if column not in present:
            conn.execute(statement)
