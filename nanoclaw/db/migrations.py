"""Brings a central database of any age to today: pending, applied, migrate.

Called once at start, before any child opens the database, and by tools that work beside the host.
Each migration is one transaction together with its line in the ledger and looks there again once
it holds the lock, so that programs starting at the same moment cannot apply one twice. A database
of a newer program is refused untouched.
"""

import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text, utc_now
from nanoclaw.db.connection import SCHEMA_NUMBER, refuse_newer, transaction
from nanoclaw.db.reference_schema import REFERENCE, Apply
from nanoclaw.db.rows import time_of
from nanoclaw.db.schema import OURS
from nanoclaw.errors import StateError

_LEDGER = (
    "CREATE TABLE IF NOT EXISTS schema_version"
    " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS idx_schema_version_name ON schema_version(name)",
)
_OUR_NAME = re.compile(r"nanoclaw-(\d{1,6})-")


@dataclass(frozen=True, slots=True)
class Migration:
    """``number`` is our schema number once it is applied; 0 for those of the earlier program."""

    name: str
    number: int
    apply: Apply


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    version: int
    name: str
    applied_at: datetime


MIGRATIONS: tuple[Migration, ...] = (
    *(Migration(name, 0, apply) for name, apply in REFERENCE),
    *(Migration(name, number, apply) for number, (name, apply) in enumerate(OURS, start=1)),
)
assert len(OURS) == SCHEMA_NUMBER, "connection.SCHEMA_NUMBER counts our migrations"


def applied(conn: sqlite3.Connection) -> list[AppliedMigration]:
    """The ledger in order; empty for a fresh database. Names we do not know are listed too."""
    if not _has_ledger(conn):
        return []
    rows = conn.execute("SELECT version, name, applied FROM schema_version ORDER BY version")
    return [AppliedMigration(row[0], row[1], time_of(row[2])) for row in rows]


def pending(conn: sqlite3.Connection) -> list[Migration]:
    done = _names(conn)
    return [migration for migration in MIGRATIONS if migration.name not in done]


def migrate(conn: sqlite3.Connection, now: datetime | None = None) -> list[str]:
    """Applies what is missing, in order; the names it applied. Raises StateError when newer."""
    if refuse_newer(conn, _file_of(conn)) == SCHEMA_NUMBER:
        return []
    _refuse_newer_names(conn)
    text = to_text(now or utc_now())
    if not _has_ledger(conn) and _is_empty(conn):
        return _create_all(conn, text)
    with transaction(conn):
        _ensure_ledger(conn)
    return [item.name for item in pending(conn) if _apply_one(conn, item, text)]


def _create_all(conn: sqlite3.Connection, now: str) -> list[str]:
    """A fresh database: one transaction, still with a line for each."""
    with transaction(conn):
        _ensure_ledger(conn)
        done = _names(conn)
        missing = [item for item in MIGRATIONS if item.name not in done]
        for item in missing:
            _apply_and_record(conn, item, now)
    return [item.name for item in missing]


def _apply_one(conn: sqlite3.Connection, migration: Migration, now: str) -> bool:
    with transaction(conn):
        if migration.name in _names(conn):
            return False
        _apply_and_record(conn, migration, now)
    return True


def _apply_and_record(conn: sqlite3.Connection, migration: Migration, now: str) -> None:
    migration.apply(conn, now)
    conn.execute(
        "INSERT INTO schema_version (version, name, applied)"
        " SELECT coalesce(max(version), 0) + 1, ?, ? FROM schema_version",
        (migration.name, now),
    )
    if migration.number:
        conn.execute(f"PRAGMA user_version = {migration.number:d}")


def _ensure_ledger(conn: sqlite3.Connection) -> None:
    for statement in _LEDGER:
        conn.execute(statement)


def _names(conn: sqlite3.Connection) -> frozenset[str]:
    if not _has_ledger(conn):
        return frozenset()
    return frozenset(row[0] for row in conn.execute("SELECT name FROM schema_version"))


def _has_ledger(conn: sqlite3.Connection) -> bool:
    row = conn.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'"
    ).fetchone()
    return row is not None


def _is_empty(conn: sqlite3.Connection) -> bool:
    return conn.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def _refuse_newer_names(conn: sqlite3.Connection) -> None:
    """Guards against a ledger of ours that lost its number, for example in a copied table."""
    for name in _names(conn):
        ours = _OUR_NAME.match(name)
        if ours and int(ours[1]) > SCHEMA_NUMBER:
            raise StateError(
                f"{_file_of(conn)} has migration {name} of a newer nanoclaw (this program knows "
                f"{SCHEMA_NUMBER}); nothing was changed. Run the newer nanoclaw, or bring back an "
                "older state with `nanoclaw backup restore`"
            )


def _file_of(conn: sqlite3.Connection) -> str:
    row = conn.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()
    return row[0] or "the database in memory"
