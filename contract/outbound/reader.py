"""What the runner asks its own ``outbound.db``, without writing.

Base of the writer, so that both see the same statements; opened read-only by itself, a read
causes no CLOSE_WRITE and therefore does not wake the host. Runner side only: the host never
opens this file, it takes a snapshot.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.address import Address
from contract.clock import parse_text
from contract.jsontext import dump
from contract.outbound.row import OutboundRow
from contract.sqlitefile import contract_version, open_for_read

BUSY_MS = 5000
_CHUNK = 500


@contextmanager
def read_outbound(path: Path, *, busy_ms: int = BUSY_MS) -> Iterator["OutboundReader"]:
    """One read transaction. The writer must have opened the file once in this process."""
    with open_for_read(path, busy_ms=busy_ms) as conn:
        contract_version(conn, path)
        yield OutboundReader(conn)


class OutboundReader:
    """Questions of one open transaction."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def acked_ids(self, candidates: Collection[str]) -> frozenset[str]:
        """Those of the ids that have an acknowledgement of any status (R-38, R-43)."""
        wanted = list(candidates)
        found: set[str] = set()
        for start in range(0, len(wanted), _CHUNK):
            rows = self._conn.execute(
                """
                SELECT message_id FROM processing_ack
                WHERE message_id IN (SELECT value FROM json_each(?))
                """,
                (dump(wanted[start : start + _CHUNK]),),
            )
            found.update(row[0] for row in rows)
        return frozenset(found)

    def get_state(self, key: str) -> str | None:
        row = self._conn.execute("SELECT value FROM session_state WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def message_ids(self) -> tuple[str, ...]:
        """Every message still in the queue, oldest first."""
        return tuple(
            row[0] for row in self._conn.execute("SELECT id FROM messages_out ORDER BY seq")
        )

    def find_by_seq(self, seq: int) -> OutboundRow | None:
        """The message of ours with this number (R-51, R-52)."""
        row = self._conn.execute("SELECT * FROM messages_out WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            return None
        return OutboundRow(
            id=row["id"],
            seq=row["seq"],
            kind=row["kind"],
            timestamp=parse_text(row["timestamp"]),
            content=row["content"],
            address=Address(row["channel_type"], row["platform_id"], row["thread_id"]),
            in_reply_to=row["in_reply_to"],
            deliver_after=parse_text(row["deliver_after"]),
            taint=row["taint"],
            chain_id=row["chain_id"],
            hop=row["hop"],
        )

    def max_seq(self) -> int:
        highest: int | None = self._conn.execute("SELECT max(seq) FROM messages_out").fetchone()[0]
        return highest or 0
