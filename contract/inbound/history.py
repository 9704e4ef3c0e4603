"""What the host looks up in ``inbound.db`` without writing: for search, lists and explanations.

As ``reader``, but nobody waits here: a file that is just being written raises SessionFileBusy and
is looked at again later. Raises SessionFileMissing and SessionFileCorrupt too.
"""

from pathlib import Path

from contract.inbound.decode import inbound_row
from contract.inbound.row import InboundRow
from contract.sqlitefile import contract_version, open_for_read

BUSY_MS = 20


def read_after(path: Path, seq: int, limit: int) -> tuple[InboundRow, ...]:
    """Rows with higher numbers, in order."""
    with open_for_read(path, busy_ms=BUSY_MS) as conn:
        contract_version(conn, path)
        rows = conn.execute(
            "SELECT * FROM messages_in WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
        )
        return tuple(inbound_row(row) for row in rows)


def read_by_id(path: Path, row_id: str) -> InboundRow | None:
    with open_for_read(path, busy_ms=BUSY_MS) as conn:
        contract_version(conn, path)
        row = conn.execute("SELECT * FROM messages_in WHERE id = ?", (row_id,)).fetchone()
        return None if row is None else inbound_row(row)


def read_task(path: Path, series_id: str) -> InboundRow | None:
    """The newest row of a series."""
    with open_for_read(path, busy_ms=BUSY_MS) as conn:
        contract_version(conn, path)
        row = conn.execute(
            """
            SELECT * FROM messages_in WHERE kind = 'task' AND (series_id = ?1 OR id = ?1)
            ORDER BY seq DESC LIMIT 1
            """,
            (series_id,),
        ).fetchone()
        return None if row is None else inbound_row(row)
