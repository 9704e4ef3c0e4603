"""What the host asks ``inbound.db`` about the turn that an agent's output belongs to.

Called by delivery for each new output. Waits 50 ms at most, because the asking loop serves all
sessions; SessionFileBusy then means "look again soon".
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.address import Address
from contract.clock import parse_text
from contract.inbound.decode import inbound_row
from contract.inbound.row import InboundRow
from contract.jsontext import dump
from contract.sqlitefile import contract_version, open_for_read
from contract.version import CONTRACT_VERSION

BUSY_MS = 50
MAX_OPEN = 2000
"""Unsettled rows looked at, newest first."""


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row that no settled batch has covered yet, without its content."""

    id: str
    kind: str
    address: Address
    taint: str | None


@dataclass(frozen=True, slots=True)
class TurnRows:
    """``named`` are rows that were asked for by id, whatever their state."""

    open: tuple[OpenRow, ...] = ()
    named: tuple[InboundRow, ...] = ()


def read_turn(path: Path, ids: Collection[str], now: datetime) -> TurnRows:
    """Rows that are claimed or wait to be, and the named ones; later tasks are no part of it."""
    with open_for_read(path, busy_ms=BUSY_MS) as conn:
        named = conn.execute(
            "SELECT * FROM messages_in WHERE id IN (SELECT value FROM json_each(?))",
            (dump(sorted(ids)),),
        ).fetchall()
        if contract_version(conn, path) < CONTRACT_VERSION:
            return TurnRows((), tuple(map(inbound_row, named)))  # a file that knows no taint
        rows = conn.execute(
            """
            SELECT id, kind, channel_type, platform_id, thread_id, taint, process_after
            FROM messages_in WHERE status = 'pending' ORDER BY seq DESC LIMIT ?
            """,
            (MAX_OPEN,),
        ).fetchall()
    return TurnRows(
        tuple(_open_row(row) for row in rows if _is_due(row, now)), tuple(map(inbound_row, named))
    )


def read_newest_trigger(path: Path) -> Address | None:
    """Where the newest message that wakes the agent came from."""
    with open_for_read(path, busy_ms=BUSY_MS) as conn:
        row = conn.execute(
            """
            SELECT channel_type, platform_id, thread_id FROM messages_in
            WHERE trigger <> 0 AND channel_type IS NOT NULL AND channel_type <> 'agent'
            ORDER BY seq DESC LIMIT 1
            """
        ).fetchone()
    return None if row is None else Address(row[0], row[1], row[2])


def _is_due(row: sqlite3.Row, now: datetime) -> bool:
    due = parse_text(row["process_after"])
    return due is None or due <= now


def _open_row(row: sqlite3.Row) -> OpenRow:
    address = Address(row["channel_type"], row["platform_id"], row["thread_id"])
    return OpenRow(row["id"], row["kind"], address, row["taint"])
