"""What the host sees of ``outbound.db``: a private copy in memory, read with suspicion.

The only way from the agent's file to the host (design section 3). SQLite never opens the path:
``hostile`` takes the bytes, here they become an in-memory database in which only plain tables
are read, under limits of steps, time and size. A row that is not what a runner writes is left
out; a file that is not is refused. Nothing but a SnapshotError can come out of it.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import RefusalReason, SnapshotBusy, SnapshotRefused
from contract.layout import OUTBOUND_DB
from contract.outbound import rows
from contract.outbound.hostile import (
    JOURNAL,
    ChangeToken,
    RawDatabase,
    change_token,
    read_database,
    read_database_and_journal,
)
from contract.outbound.row import Ack, ContainerState, OutboundRow
from contract.version import CONTRACT_VERSION

__all__ = [
    "MAX_BYTES",
    "ChangeToken",
    "OutboundSnapshot",
    "change_token",
    "read_snapshot",
    "repair_private_copy",
]

MAX_BYTES = 64 * 1024 * 1024
MAX_ACKS = 10_000
MAX_STEPS = 10_000_000
MAX_SECONDS = 2.0
"""Work of SQLite's machine for one question; an honest one needs thousands and milliseconds."""
_MAX_BATCH_BYTES = 16 * 1024 * 1024
_MAX_CELL_BYTES = 4 * 1024 * 1024
_MAX_OBJECTS = 64
_PLAIN_KINDS = (b"table", b"index")
_PLAIN_SQL = (b"CREATE TABLE ", b"CREATE INDEX ", b"CREATE UNIQUE INDEX ")
_STEPS_PER_LOOK = 1000
_HEADER_BYTES = 100
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL_BYTES),
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


def read_snapshot(
    out_dir_fd: int, *, max_bytes: int = MAX_BYTES, max_steps: int = MAX_STEPS
) -> "OutboundSnapshot":
    """The file below the folder handle, as of its last commit; use it in a ``with``.

    ``max_steps`` bounds SQLite's work for each question. Raises SnapshotMissing, SnapshotBusy or
    SnapshotRefused.
    """
    return OutboundSnapshot(read_database(out_dir_fd, max_bytes), max_steps)


def repair_private_copy(
    out_dir_fd: int, scratch_dir: Path, *, max_bytes: int = MAX_BYTES
) -> "OutboundSnapshot":
    """What the file was before the transaction that a killed runner left half done.

    For sessions where no runner is due, which would roll back by itself. The agent's folder is
    only read; SQLite works on a copy in a folder of its own below ``scratch_dir``.
    """
    database, journal = read_database_and_journal(out_dir_fd, max_bytes)
    try:
        with tempfile.TemporaryDirectory(dir=scratch_dir, prefix="repair-") as folder:
            (Path(folder) / OUTBOUND_DB).write_bytes(database)
            (Path(folder) / JOURNAL).write_bytes(journal)
            _roll_back(Path(folder) / OUTBOUND_DB)
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return read_snapshot(folder_fd, max_bytes=max_bytes)
            finally:
                os.close(folder_fd)
    except OSError as error:
        raise SnapshotBusy(f"no private copy: {error}") from error


def _roll_back(copy: Path) -> None:
    """Lets SQLite play the journal back. Reading the number needs no schema, so none is parsed."""
    conn = sqlite3.connect(copy, isolation_level=None)
    try:
        with _refusing():
            conn.execute("PRAGMA user_version").fetchone()
    finally:
        conn.close()


class OutboundSnapshot:
    """Questions to one copy. Closing it frees the memory."""

    def __init__(self, raw: RawDatabase, max_steps: int) -> None:
        self.token = raw.token
        self.skipped = 0
        """Rows left out because a runner would not have written them."""
        self._max_looks = max_steps // _STEPS_PER_LOOK
        self._looks = 0
        self._deadline = 0.0
        self._conn = sqlite3.connect(":memory:", isolation_level=None)
        self._conn.text_factory = bytes
        try:
            with self._question():
                self._load(raw.data)
                self._tables = self._checked_tables()
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

    @property
    def max_seq(self) -> int:
        """The highest number a message has; 0 when there is none."""
        if "messages_out" not in self._tables:
            return 0
        with self._question():
            found = self._conn.execute("SELECT max(seq) FROM messages_out").fetchone()[0]
        return found if isinstance(found, int) and found <= rows.MAX_SEQ else 0

    def messages(self, after_seq: int, limit: int) -> list[OutboundRow]:
        """Messages with higher numbers, in order; fewer than ``limit`` when they are large."""
        if "messages_out" not in self._tables:
            return []
        found: list[OutboundRow] = []
        size = 0
        with self._question():
            cursor = self._conn.execute(
                "SELECT * FROM messages_out WHERE seq > ? ORDER BY seq", (after_seq,)
            )
            for record in self._records(cursor):
                row = rows.outbound_row(record)
                if row is None:
                    self.skipped += 1
                    continue
                found.append(row)
                size += len(row.content)
                if len(found) == limit or size > _MAX_BATCH_BYTES:
                    break
        return found

    def acks(self) -> list[Ack]:
        """Claims and settled claims, oldest first; the newest if there are very many."""
        if "processing_ack" not in self._tables:
            return []
        found: list[Ack] = []
        with self._question():
            cursor = self._conn.execute(
                "SELECT * FROM processing_ack ORDER BY rowid DESC LIMIT ?", (MAX_ACKS,)
            )
            for record in self._records(cursor):
                ack = rows.ack(record)
                if ack is None:
                    self.skipped += 1
                else:
                    found.append(ack)
        return found[::-1]

    def container_state(self) -> ContainerState | None:
        """Which tool is running; None when the runner has not said (H-42)."""
        if "container_state" not in self._tables:
            return None
        with self._question():
            cursor = self._conn.execute("SELECT * FROM container_state WHERE id = 1")
            for record in self._records(cursor):
                return rows.container_state(record)
        return None

    def _load(self, data: bytearray) -> None:
        if not data:
            return  # created by a runner that was killed before its first commit
        if len(data) < _HEADER_BYTES:
            raise SnapshotRefused(RefusalReason.CORRUPT, "shorter than a header")
        data[18:20] = b"\1\1"  # rollback journal: a WAL file would make SQLite look for more
        for limit, value in _LIMITS:
            self._conn.setlimit(limit, value)
        self._conn.set_progress_handler(self._look, _STEPS_PER_LOOK)
        self._conn.deserialize(data)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.execute("PRAGMA query_only=ON")

    def _checked_tables(self) -> frozenset[str]:
        """Names of the plain tables. A file with anything else was not written by a runner."""
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
        for table in rows.READ_TABLES & tables:
            self._check_columns(table)
        return tables

    def _check_columns(self, table: str) -> None:
        for record in self._conn.execute("SELECT hidden FROM pragma_table_xinfo(?)", (table,)):
            if record[0]:
                raise SnapshotRefused(RefusalReason.BAD_SCHEMA, f"{table} has generated columns")

    @staticmethod
    def _records(cursor: sqlite3.Cursor) -> Iterator[rows.Record]:
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))

    @contextmanager
    def _question(self) -> Iterator[None]:
        """A fresh allowance of work. Processor time, so that a slow machine refuses nothing."""
        self._looks = 0
        self._deadline = time.thread_time() + MAX_SECONDS
        with _refusing():
            yield

    def _look(self) -> bool:
        """Called by SQLite while it works; True stops it."""
        self._looks += 1
        return self._looks > self._max_looks or time.thread_time() > self._deadline


@contextmanager
def _refusing() -> Iterator[None]:
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
