"""What the host sees of ``outbound.db``: a private copy in memory, read with suspicion.

The only way from the agent's file to the host (design section 3). SQLite never opens the path:
``hostile`` takes the bytes, here they become an in-memory database in which only plain tables
are read, under limits of steps, time and size. A row that is not what a runner writes is left
out; a file that is not is refused. Nothing but a SnapshotError can come out of it.
"""

import os
import tempfile
from pathlib import Path

from contract.errors import SnapshotBusy
from contract.layout import OUTBOUND_DB
from contract.outbound import rows
from contract.outbound.copy import MAX_SECONDS, MAX_STEPS, PrivateCopy, roll_back
from contract.outbound.hostile import (
    JOURNAL,
    ChangeToken,
    RawDatabase,
    change_token,
    read_database,
    read_database_and_journal,
)
from contract.outbound.row import Ack, ContainerState, OutboundRow

__all__ = [
    "MAX_BYTES",
    "MAX_SECONDS",
    "MAX_STEPS",
    "ChangeToken",
    "OutboundSnapshot",
    "change_token",
    "read_snapshot",
    "repair_private_copy",
]

MAX_BYTES = 64 * 1024 * 1024
MAX_ACKS = 10_000
_MAX_BATCH_BYTES = 16 * 1024 * 1024


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
            roll_back(Path(folder) / OUTBOUND_DB)
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return read_snapshot(folder_fd, max_bytes=max_bytes)
            finally:
                os.close(folder_fd)
    except OSError as error:
        raise SnapshotBusy(f"no private copy: {error}") from error


class OutboundSnapshot(PrivateCopy):
    """Questions to one copy. Closing it frees the memory."""

    def __init__(self, raw: RawDatabase, max_steps: int) -> None:
        super().__init__(raw.data, rows.READ_TABLES, max_steps=max_steps)
        self.token = raw.token
        self.skipped = 0
        """Rows left out because a runner would not have written them."""

    @property
    def max_seq(self) -> int:
        """The highest number a message has; 0 when there is none."""
        if "messages_out" not in self.tables:
            return 0
        with self.question():
            found = self.execute("SELECT max(seq) FROM messages_out").fetchone()[0]
        return found if isinstance(found, int) and found <= rows.MAX_SEQ else 0

    def messages(self, after_seq: int, limit: int) -> list[OutboundRow]:
        """Messages with higher numbers, in order; fewer than ``limit`` when they are large."""
        if "messages_out" not in self.tables:
            return []
        found: list[OutboundRow] = []
        size = 0
        with self.question():
            cursor = self.execute(
                "SELECT * FROM messages_out WHERE seq > ? ORDER BY seq", (after_seq,)
            )
            for record in self.records(cursor):
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
        if "processing_ack" not in self.tables:
            return []
        found: list[Ack] = []
        with self.question():
            cursor = self.execute(
                "SELECT * FROM processing_ack ORDER BY rowid DESC LIMIT ?", (MAX_ACKS,)
            )
            for record in self.records(cursor):
                ack = rows.ack(record)
                if ack is None:
                    self.skipped += 1
                else:
                    found.append(ack)
        return found[::-1]

    def container_state(self) -> ContainerState | None:
        """Which tool is running; None when the runner has not said (H-42)."""
        if "container_state" not in self.tables:
            return None
        with self.question():
            cursor = self.execute("SELECT * FROM container_state WHERE id = 1")
            for record in self.records(cursor):
                return rows.container_state(record)
        return None
