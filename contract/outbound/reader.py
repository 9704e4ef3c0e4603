"""What the runner asks its own ``outbound.db``, without writing.

Base of the writer, so that both see the same statements; opened read-only by itself, a read
causes no CLOSE_WRITE and therefore does not wake the host. Runner side only: the host never
opens this file, it takes a snapshot.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from contract.address import Address
from contract.clock import parse_text, to_text
from contract.jsontext import dump
from contract.outbound.row import OutboundRow, UsageTotal
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
        return None if row is None else _outbound_row(row)

    def find_by_id(self, message_id: str) -> OutboundRow | None:
        row = self._conn.execute(
            "SELECT * FROM messages_out WHERE id = ?", (message_id,)
        ).fetchone()
        return None if row is None else _outbound_row(row)

    def has_message(self, message_id: str) -> bool:
        row = self._conn.execute("SELECT 1 FROM messages_out WHERE id = ?", (message_id,))
        return row.fetchone() is not None

    def max_seq(self) -> int:
        highest: int | None = self._conn.execute("SELECT max(seq) FROM messages_out").fetchone()[0]
        return highest or 0

    def usage_since(self, moment: datetime | None, conversation: str | None = None) -> UsageTotal:
        """What was used from then on (None: ever), by everything or by one conversation."""
        row = self._conn.execute(
            """
            SELECT count(*), total(input_tokens), total(output_tokens), total(cache_read_tokens),
                   total(cache_write_5m_tokens) + total(cache_write_1h_tokens),
                   total(web_searches), total(cost_usd), count(*) - count(cost_usd)
            FROM usage_log
            WHERE (?1 IS NULL OR ts >= ?1) AND (?2 IS NULL OR conversation = ?2)
            """,
            (None if moment is None else to_text(moment), conversation),
        ).fetchone()
        return UsageTotal(
            calls=int(row[0]),
            input_tokens=int(row[1]),
            output_tokens=int(row[2]),
            cache_read_tokens=int(row[3]),
            cache_write_tokens=int(row[4]),
            web_searches=int(row[5]),
            cost_usd=float(row[6]),
            unpriced=int(row[7]),
        )


def _outbound_row(row: sqlite3.Row) -> OutboundRow:
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
