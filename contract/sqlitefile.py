"""How both sides open a session file: one connection, one transaction, closed at once.

Called by the inbound and outbound modules only. Long-lived connections are forbidden: on
virtualised mounts they freeze the reader's view, and they would hide the CLOSE_WRITE that wakes
the other side (H-36, R-31). Rollback journal, never WAL, whose shared memory does not cross a
mount (H-35). SQLite's errors leave as the contract's errors.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from contract.errors import (
    SchemaMismatch,
    SessionFileBusy,
    SessionFileCorrupt,
    SessionFileError,
    SessionFileMissing,
)
from contract.version import CONTRACT_VERSION

_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_ERROR"})
"""Primary codes after which the same call will never work. ERROR: a table or column is gone."""


@contextmanager
def open_for_write(path: Path, *, mode: str, busy_ms: int) -> Iterator[sqlite3.Connection]:
    """One immediate transaction: committed on success, rolled back on error, closed always.

    ``mode`` is SQLite's: "rw" never creates the file, "rwc" may.
    """
    with _connected(path, mode, busy_ms) as conn:
        conn.execute("PRAGMA journal_mode=DELETE")
        conn.execute("PRAGMA synchronous=FULL")
        conn.execute("BEGIN IMMEDIATE")
        try:
            yield conn
            conn.execute("COMMIT")
        finally:
            if conn.in_transaction:
                conn.execute("ROLLBACK")


@contextmanager
def open_for_read(path: Path, *, busy_ms: int) -> Iterator[sqlite3.Connection]:
    """One read transaction on a fresh read-only connection (R-31, R-32)."""
    with _connected(path, "ro", busy_ms) as conn:
        conn.execute("PRAGMA mmap_size=0")
        conn.execute("BEGIN")
        yield conn


def contract_version(conn: sqlite3.Connection, path: Path) -> int:
    """The file's contract number; raises SchemaMismatch when it is above ours."""
    found: int = conn.execute("PRAGMA user_version").fetchone()[0]
    if found > CONTRACT_VERSION:
        raise SchemaMismatch(str(path), found, CONTRACT_VERSION)
    return found


def columns(conn: sqlite3.Connection, table: str) -> frozenset[str]:
    """Column names of a table; empty when there is no such table."""
    rows = conn.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return frozenset(row[0] for row in rows)


@contextmanager
def _connected(path: Path, mode: str, busy_ms: int) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(path))}?mode={mode}"
    try:
        conn = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_ms / 1000)
        try:
            conn.row_factory = sqlite3.Row
            yield conn
        finally:
            conn.close()
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a defect of the caller, not a state of the file
    except sqlite3.DatabaseError as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.DatabaseError, path: Path) -> SessionFileError:
    # The module's own errors have no name; here they mean text that is not UTF-8.
    name: str = getattr(error, "sqlite_errorname", "SQLITE_FORMAT")
    if name == "SQLITE_CANTOPEN" and not path.exists():
        return SessionFileMissing(str(path), "no such file")
    if "_".join(name.split("_")[:2]) in _DAMAGED:
        return SessionFileCorrupt(str(path), f"{name}: {error}")
    return SessionFileBusy(str(path), name)
