"""An ``inbound.db`` of the earlier program, which its containers could write: read, and made anew.

Used by the session-folder converter only. The old file is looked at like any other of an agent
(``outbound.copy``); what is a message goes into a fresh file with its number, state and times, and
nothing else of the old file comes along.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from contract.address import Address
from contract.clock import parse_text, to_text
from contract.inbound.row import (
    AckStatus,
    DeliveredMark,
    DeliveredStatus,
    InboundRow,
    InboundStatus,
)
from contract.inbound.upgrade import upgrade
from contract.inbound.writer import InboundWriter
from contract.layout import INBOUND_DB
from contract.outbound.copy import PrivateCopy, roll_back
from contract.outbound.hostile import read_database_and_journal
from contract.outbound.rows import MAX_SEQ, Record, shown
from contract.sqlitefile import open_for_write

MAX_BYTES = 256 * 1024 * 1024
MAX_ROWS = 200_000
MAX_CELL_BYTES = 64 * 1024 * 1024
"""The earlier program could leave whole files, encoded, in a row (W-12)."""
_MAX_TEXT = 4096
_INSERT = """
INSERT INTO messages_in
  (id, seq, kind, timestamp, status, process_after, recurrence, series_id, tries, trigger,
   platform_id, channel_type, thread_id, content, source_session_id, on_wake, platform_message_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_TABLES = frozenset({"messages_in", "delivered"})


class EarlierInbound(PrivateCopy):
    """Questions to the copy. ``skipped`` counts rows that no program of ours has written."""

    def __init__(self, data: bytearray) -> None:
        super().__init__(data, _TABLES, max_cell_bytes=MAX_CELL_BYTES)
        self.skipped = 0

    def messages(self) -> Iterator[InboundRow]:
        """In order of their numbers; at most MAX_ROWS, the newest."""
        if "messages_in" not in self.tables:
            return
        with self.question():
            cursor = self.execute(
                "SELECT * FROM (SELECT * FROM messages_in ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                (MAX_ROWS,),
            )
            for record in self.records(cursor):
                row = _message(record)
                if row is None:
                    self.skipped += 1
                else:
                    yield row

    def delivered(self) -> dict[str, DeliveredMark]:
        """What became of the agent's messages, by their ids."""
        if "delivered" not in self.tables:
            return {}
        with self.question():
            cursor = self.execute("SELECT * FROM delivered LIMIT ?", (MAX_ROWS,))
            marks = [_mark(record) for record in self.records(cursor)]
        return {mark.message_out_id: mark for mark in marks if mark.message_out_id}


def read_earlier(session_fd: int, scratch_dir: Path) -> EarlierInbound:
    """The file in the old session folder, a half-done transaction rolled back in a private copy.

    Raises SnapshotMissing, SnapshotBusy or SnapshotRefused.
    """
    data, journal = read_database_and_journal(session_fd, MAX_BYTES, INBOUND_DB)
    if journal:
        with tempfile.TemporaryDirectory(dir=scratch_dir, prefix="earlier-") as folder:
            copy = Path(folder) / INBOUND_DB
            copy.write_bytes(data)
            copy.with_name(f"{INBOUND_DB}-journal").write_bytes(journal)
            roll_back(copy)
            data = bytearray(copy.read_bytes())
    return EarlierInbound(data)


def rebuild(path: Path, rows: Iterable[InboundRow], marks: Sequence[DeliveredMark]) -> int:
    """Fills the empty file at ``path`` in one transaction; returns the number of messages."""
    with open_for_write(path, mode="rw", busy_ms=0) as conn:
        upgrade(conn, path)
        cursor = conn.executemany(_INSERT, (_values(row) for row in rows))
        InboundWriter(conn).mark_delivered(marks)
        return max(cursor.rowcount, 0)


def _values(row: InboundRow) -> tuple[object, ...]:
    return (
        row.id,
        row.seq,
        row.kind,
        to_text(row.timestamp) if row.timestamp else "",
        row.status,
        to_text(row.process_after) if row.process_after else None,
        row.recurrence,
        row.series_id,
        row.tries,
        int(row.trigger),
        row.address.platform_id,
        row.address.channel_type,
        row.address.thread_id,
        row.content,
        row.source_session_id,
        int(row.on_wake),
        row.platform_message_id,
    )


def _message(record: Record) -> InboundRow | None:
    """As ``decode.inbound_row``, from bytes. Without an id or a number it was never a message."""
    message_id, seq = _text(record, "id"), _number(record, "seq")
    if not message_id or not 0 < seq <= MAX_SEQ:
        return None
    process_after = parse_text(_text(record, "process_after"))
    status = _status(_text(record, "status"))
    if process_after is None and record.get("process_after") and status is InboundStatus.PENDING:
        status = InboundStatus.PAUSED  # it never became due before and must not do so now
    return InboundRow(
        id=message_id,
        seq=seq,
        kind=_text(record, "kind") or "",
        timestamp=parse_text(_text(record, "timestamp")),
        status=status,
        content=_text(record, "content", MAX_CELL_BYTES) or "",
        address=Address(
            _text(record, "channel_type"), _text(record, "platform_id"), _text(record, "thread_id")
        ),
        trigger=record.get("trigger", 1) != 0,
        process_after=process_after,
        recurrence=_text(record, "recurrence") or None,
        series_id=_text(record, "series_id") or message_id,
        tries=_number(record, "tries"),
        on_wake=_number(record, "on_wake") != 0,
        source_session_id=_text(record, "source_session_id"),
        taint=None,
        chain_id=None,
        hop=0,
        tz=None,
        catch_up=None,
        reply_hint=None,
        platform_message_id=None,
        event_key=None,
    )


def _mark(record: Record) -> DeliveredMark:
    failed = _text(record, "status") == DeliveredStatus.FAILED
    return DeliveredMark(
        _text(record, "message_out_id") or "",
        _text(record, "platform_message_id"),
        DeliveredStatus.FAILED if failed else DeliveredStatus.DELIVERED,
        parse_text(_text(record, "delivered_at")),
    )


def _text(record: Record, column: str, limit: int = _MAX_TEXT) -> str | None:
    value = record.get(column)
    return shown(value) if isinstance(value, bytes) and len(value) <= limit else None


def _number(record: Record, column: str) -> int:
    value = record.get(column)
    return value if isinstance(value, int) else 0


def _status(text: str | None) -> InboundStatus:
    try:
        return InboundStatus(text or "pending")
    except ValueError:
        return InboundStatus.FAILED


def settle(row_id: str, status: InboundStatus, acks: Mapping[str, AckStatus]) -> InboundStatus:
    """The state of a row, given what its container said that the host had not taken over yet."""
    ack = acks.get(row_id)
    if status is not InboundStatus.PENDING or ack is None or ack is AckStatus.PROCESSING:
        return status
    return InboundStatus.FAILED if ack is AckStatus.FAILED else InboundStatus.COMPLETED
