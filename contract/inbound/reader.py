"""Everything the runner reads from ``inbound.db``.

Each function opens a fresh read-only connection, runs one short transaction and closes it, so
that the view is never stale and the host is never kept waiting (R-31, R-32). Passing trouble
(busy, hot journal, missing file) raises SessionFileBusy, which the loop takes as "nothing new"
(R-33). Old files without our columns are readable.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.address import Address, Destination, DestinationType
from contract.clock import parse_text
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound.decode import inbound_row
from contract.inbound.row import DeliveredMark, DeliveredStatus, InboundRow
from contract.inbound.select import Candidate, PendingQuery, select_batch
from contract.jsontext import dump
from contract.sqlitefile import columns, contract_version, open_for_read
from contract.version import CONTRACT_VERSION

BUSY_MS = 5000
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """What the next turn is made of.

    ``omitted`` are context rows that found no place: acknowledge them unread and say how many
    (R-40). ``more`` says that further rows are due; ``next_due_at`` when a later one becomes due.
    """

    rows: tuple[InboundRow, ...] = ()
    omitted: tuple[str, ...] = ()
    more: bool = False
    next_due_at: datetime | None = None


def read_pending(path: Path, query: PendingQuery) -> PendingBatch:
    """The rows of the next batch, oldest first; empty while nothing that wakes is due."""
    with reading(path) as conn:
        selection = select_batch(_candidates(conn, path), query)
        rows = [_row_by_id(conn, message_id) for message_id in selection.ids]
        return PendingBatch(
            rows=tuple(row for row in rows if row is not None),
            omitted=selection.omitted,
            more=selection.more,
            next_due_at=selection.next_due_at,
        )


def read_pending_ids(path: Path) -> frozenset[str]:
    """Ids of all pending rows, due or not; what acknowledgements are compared with (R-43)."""
    with reading(path) as conn:
        rows = conn.execute("SELECT id FROM messages_in WHERE status = 'pending'")
        return frozenset(row[0] for row in rows)


def read_system_rows(path: Path) -> tuple[InboundRow, ...]:
    """Pending answers to questions and requests, oldest first (R-98)."""
    with reading(path) as conn:
        rows = conn.execute(
            "SELECT * FROM messages_in WHERE status = 'pending' AND kind = 'system' ORDER BY seq"
        )
        return tuple(inbound_row(row) for row in rows)


def find_question_response(path: Path, question_id: str) -> InboundRow | None:
    """The pending answer to a question. The caller checks that it is not acknowledged (R-47)."""
    return _find_system_row(path, "questionId", question_id)


def find_cli_response(path: Path, request_id: str) -> InboundRow | None:
    """The pending answer to an administrative request (R-182)."""
    return _find_system_row(path, "requestId", request_id)


def read_row(path: Path, message_id: str) -> InboundRow | None:
    with reading(path) as conn:
        return _row_by_id(conn, message_id)


def read_row_by_seq(path: Path, seq: int) -> InboundRow | None:
    """The message that the agent calls by this number (R-50)."""
    with reading(path) as conn:
        row = conn.execute("SELECT * FROM messages_in WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else inbound_row(row)


def read_newest_from(path: Path, address: Address) -> InboundRow | None:
    """The last row from the same channel and chat, in whatever thread (R-143)."""
    with reading(path) as conn:
        row = conn.execute(
            """
            SELECT * FROM messages_in WHERE channel_type = ? AND platform_id = ?
            ORDER BY seq DESC LIMIT 1
            """,
            (address.channel_type, address.platform_id),
        ).fetchone()
        return None if row is None else inbound_row(row)


def read_tasks(path: Path) -> tuple[InboundRow, ...]:
    """Live tasks, for each series its newest row, by due time (R-165)."""
    with reading(path) as conn:
        rows = conn.execute(
            """
            SELECT * FROM messages_in
            WHERE kind = 'task' AND status IN ('pending', 'paused') ORDER BY seq
            """
        )
        newest = {task.series_id: task for task in map(inbound_row, rows)}
    return tuple(
        sorted(newest.values(), key=lambda t: (t.process_after is not None, t.process_after, t.seq))
    )


def read_destinations(path: Path) -> tuple[Destination, ...]:
    """Whom the agent may write to, by name (R-132)."""
    with reading(path) as conn:
        if not columns(conn, "destinations"):
            return ()
        rows = conn.execute("SELECT * FROM destinations ORDER BY name").fetchall()
    return tuple(
        Destination(
            name=row["name"],
            display_name=row["display_name"] or row["name"],
            type=DestinationType(row["type"]),
            channel_type=row["channel_type"],
            platform_id=row["platform_id"],
            agent_group_id=row["agent_group_id"],
        )
        for row in rows
        if row["type"] in tuple(DestinationType)
    )


def read_session_routing(path: Path) -> Address:
    """The session's own chat; empty when there is none or the file is old (R-54)."""
    with reading(path) as conn:
        if not columns(conn, "session_routing"):
            return Address()
        row = conn.execute("SELECT * FROM session_routing WHERE id = 1").fetchone()
    if row is None:
        return Address()
    return Address(row["channel_type"], row["platform_id"], row["thread_id"])


def read_max_seq(path: Path) -> int:
    with reading(path) as conn:
        highest: int | None = conn.execute("SELECT max(seq) FROM messages_in").fetchone()[0]
    return highest or 0


def read_delivered(path: Path, message_out_ids: Collection[str]) -> tuple[DeliveredMark, ...]:
    """What the host has recorded about these messages of ours (R-51)."""
    wanted = list(message_out_ids)
    found: list[sqlite3.Row] = []
    with reading(path) as conn:
        for start in range(0, len(wanted), _CHUNK):
            found += conn.execute(
                """
                SELECT * FROM delivered
                WHERE message_out_id IN (SELECT value FROM json_each(?))
                """,
                (dump(wanted[start : start + _CHUNK]),),
            ).fetchall()
    return tuple(_mark(row) for row in found)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One read transaction; for this module and ``lookup``."""
    try:
        with open_for_read(path, busy_ms=BUSY_MS) as conn:
            yield conn
    except SessionFileMissing as error:
        raise SessionFileBusy(error.path, "SQLITE_CANTOPEN") from error


def _candidates(conn: sqlite3.Connection, path: Path) -> list[Candidate]:
    if contract_version(conn, path) == CONTRACT_VERSION:
        rows = conn.execute(
            """
            SELECT seq, id, kind, trigger, on_wake, process_after FROM messages_in
            WHERE status = 'pending'
            """
        )
        return [
            Candidate(seq or 0, message_id, kind, trigger != 0, on_wake != 0, process_after)
            for seq, message_id, kind, trigger, on_wake, process_after in rows
        ]
    old = conn.execute("SELECT * FROM messages_in WHERE status = 'pending'").fetchall()
    return [
        Candidate(row.seq, row.id, row.kind, row.trigger, row.on_wake, text["process_after"])
        for row, text in zip(map(inbound_row, old), old, strict=True)
    ]


def _row_by_id(conn: sqlite3.Connection, message_id: str) -> InboundRow | None:
    row = conn.execute("SELECT * FROM messages_in WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else inbound_row(row)


def _find_system_row(path: Path, key: str, value: str) -> InboundRow | None:
    """Only system rows count: a chat message that quotes the id must not answer (V-5)."""
    needle = f"{dump(key)}:{dump(value)}"
    with reading(path) as conn:
        row = conn.execute(
            """
            SELECT * FROM messages_in
            WHERE status = 'pending' AND kind = 'system' AND instr(content, ?) > 0
            ORDER BY seq LIMIT 1
            """,
            (needle,),
        ).fetchone()
        return None if row is None else inbound_row(row)


def _mark(row: sqlite3.Row) -> DeliveredMark:
    present: Sequence[str] = row.keys()
    failed = "status" in present and row["status"] == DeliveredStatus.FAILED
    known_id = "platform_message_id" in present
    return DeliveredMark(
        message_out_id=row["message_out_id"],
        platform_message_id=row["platform_message_id"] if known_id else None,
        status=DeliveredStatus.FAILED if failed else DeliveredStatus.DELIVERED,
        delivered_at=parse_text(row["delivered_at"]),
    )
