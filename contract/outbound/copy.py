"""A database file of somebody we do not trust, as a private copy in memory.

Base of ``outbound.snapshot`` and of ``inbound.earlier``. SQLite never opens the path: ``hostile``
takes the bytes, here they become an in-memory database in which only plain tables are read,
under limits of steps, time and size. Nothing but a SnapshotError can come out of it.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import RefusalReason, SnapshotRefused
from contract.outbound import rows
from contract.version import CONTRACT_VERSION

MAX_STEPS = 10_000_000
MAX_SECONDS = 2.0
"""Work of SQLite's machine for one question; an honest one needs thousands and milliseconds."""
MAX_CELL_BYTES = 4 * 1024 * 1024
_MAX_OBJECTS = 64
_PLAIN_KINDS = (b"table", b"index")
_PLAIN_SQL = (b"CREATE TABLE ", b"CREATE INDEX ", b"CREATE UNIQUE INDEX ")
_STEPS_PER_LOOK = 1000
_HEADER_BYTES = 100
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 64 * 1024),
    (sqlite3.SQLITE_LIMIT_COLUMN, 64),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 20),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 2),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 10_000),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)


class PrivateCopy:
    """One copy and the way to question it. Closing it frees the memory."""

    def __init__(
        self,
        data: bytearray,
        read_tables: frozenset[str],
        *,
        max_steps: int = MAX_STEPS,
        max_cell_bytes: int = MAX_CELL_BYTES,
    ) -> None:
        """``read_tables`` are those that will be asked; their columns are checked."""
        self._max_looks = max_steps // _STEPS_PER_LOOK
        self._looks = 0
        self._deadline = 0.0
        self._conn = sqlite3.connect(":memory:", isolation_level=None)
        self._conn.text_factory = bytes
        try:
            with self.question():
                self._load(data, max_cell_bytes)
                self.tables = self._checked_tables(read_tables)
        except BaseException:
            self._conn.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._conn.close()

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Only within ``question``, which bounds the work and turns errors into refusals."""
        return self._conn.execute(statement, values)

    @staticmethod
    def records(cursor: sqlite3.Cursor) -> Iterator[rows.Record]:
        """Rows as mappings; text and blobs alike are bytes."""
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))

    @contextmanager
    def question(self) -> Iterator[None]:
        """A fresh allowance of work. Processor time, so that a slow machine refuses nothing."""
        self._looks = 0
        self._deadline = time.thread_time() + MAX_SECONDS
        with refusing():
            yield

    def _load(self, data: bytearray, max_cell_bytes: int) -> None:
        if not data:
            return  # created by a runner that was killed before its first commit
        if len(data) < _HEADER_BYTES:
            raise SnapshotRefused(RefusalReason.CORRUPT, "shorter than a header")
        data[18:20] = b"\1\1"  # rollback journal: a WAL file would make SQLite look for more
        self._conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_cell_bytes)
        for limit, value in _LIMITS:
            self._conn.setlimit(limit, value)
        self._conn.set_progress_handler(self._look, _STEPS_PER_LOOK)
        self._conn.deserialize(data)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.execute("PRAGMA query_only=ON")

    def _checked_tables(self, read_tables: frozenset[str]) -> frozenset[str]:
        """Names of the plain tables. A file with anything else is not one of ours."""
        version: int = self._conn.execute("PRAGMA user_version").fetchone()[0]
        if version > CONTRACT_VERSION:
            detail = f"contract version {version}, known up to {CONTRACT_VERSION}"
            raise SnapshotRefused(RefusalReason.NEWER_VERSION, detail)
        objects = self._conn.execute(
            "SELECT type, name, sql FROM sqlite_master LIMIT ?", (_MAX_OBJECTS + 1,)
        ).fetchall()
        if len(objects) > _MAX_OBJECTS:
            raise SnapshotRefused(RefusalReason.BAD_SCHEMA, "has too many objects")
        for kind, name, sql in objects:
            # SQLite has checked that the words agree with the type. A virtual table is of type
            # "table" too, and asking for its columns would start code on the agent's data.
            if kind not in _PLAIN_KINDS or not (sql or b"CREATE INDEX ").startswith(_PLAIN_SQL):
                detail = f"{rows.shown(kind)} {rows.shown(name)}"
                raise SnapshotRefused(RefusalReason.BAD_SCHEMA, detail)
        tables = frozenset(rows.shown(name) for kind, name, _ in objects if kind == b"table")
        for table in read_tables & tables:
            self._check_columns(table)
        return tables

    def _check_columns(self, table: str) -> None:
        for record in self._conn.execute("SELECT hidden FROM pragma_table_xinfo(?)", (table,)):
            if record[0]:
                raise SnapshotRefused(RefusalReason.BAD_SCHEMA, f"{table} has generated columns")

    def _look(self) -> bool:
        """Called by SQLite while it works; True stops it."""
        self._looks += 1
        return self._looks > self._max_looks or time.thread_time() > self._deadline


@contextmanager
def refusing() -> Iterator[None]:
    """Turns whatever SQLite says about a hostile file into a refusal."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a defect of the caller
    except (sqlite3.Error, ValueError, OverflowError, MemoryError) as error:
        # ValueError: the module cannot even decode SQLite's message about a name in the file.
        name: str = getattr(error, "sqlite_errorname", "")
        reason = {
            "SQLITE_INTERRUPT": RefusalReason.TOO_EXPENSIVE,
            "SQLITE_TOOBIG": RefusalReason.TOO_LARGE,
            "SQLITE_NOMEM": RefusalReason.TOO_LARGE,
        }.get(name, RefusalReason.CORRUPT)
        raise SnapshotRefused(reason, f"{name}: {error}") from error


def roll_back(copy: Path) -> None:
    """Lets SQLite play the journal back. Reading the number needs no schema, so none is parsed."""
    conn = sqlite3.connect(copy, isolation_level=None)
    try:
        with refusing():
            conn.execute("PRAGMA user_version").fetchone()
    finally:
        conn.close()
