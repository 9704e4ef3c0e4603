"""Statements for sessions of the earlier program: which are to be converted, and what was.

Used by ``sessions.convert`` only. The receipts of what the earlier host had delivered are what
keeps ours from saying it again.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from contract.outbound.row import OutboundRow
from nanoclaw.db.rows import many, text_of
from nanoclaw.db.sessions import session_of
from nanoclaw.model import DeliveryState, Session


@dataclass(frozen=True, slots=True)
class EarlierReceipt:
    """A message of the agent that the earlier host was done with."""

    row: OutboundRow
    failed: bool
    platform_message_id: str | None
    at: datetime


def unconverted(conn: sqlite3.Connection) -> list[Session]:
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions INDEXED BY sessions_unconverted WHERE converted = 0 ORDER BY id",
    )


def record_receipts(
    conn: sqlite3.Connection, session_id: str, receipts: Sequence[EarlierReceipt]
) -> None:
    """Final from the start: nothing of it is sent or projected again."""
    conn.executemany(
        "INSERT INTO deliveries (delivery_id, message_out_id, session_id, seq, source, instance,"
        " platform_id, thread_id, kind, content, in_reply_to, completes, state, next_attempt_at,"
        " last_error, platform_message_ids, projected, created_at, updated_at, expires_at)"
        " VALUES (?, ?, ?, ?, 'agent', ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 1, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [_values(session_id, receipt) for receipt in receipts],
    )


def _values(session_id: str, receipt: EarlierReceipt) -> tuple[object, ...]:
    row, at = receipt.row, to_text(receipt.at)
    ids = [receipt.platform_message_id] if receipt.platform_message_id else []
    return (
        f"{session_id}/{row.id}",
        row.id,
        session_id,
        row.seq,
        row.address.channel_type or "",
        row.address.platform_id or "",
        row.address.thread_id,
        row.kind,
        row.content,
        row.in_reply_to,
        DeliveryState.FAILED if receipt.failed else DeliveryState.SENT,
        at,
        "the earlier program gave it up" if receipt.failed else None,
        json.dumps(ids, separators=(",", ":")),
        at,
        at,
        at,
    )


def mark_converted(
    conn: sqlite3.Connection, session_id: str, *, next_due_at: datetime | None, has_output: bool
) -> None:
    """From now on it is a session like any other: nothing runs, its output is looked at once."""
    conn.execute(
        "UPDATE sessions SET converted = 1, container_status = 'stopped', next_due_at = ?,"
        " out_dirty = ? WHERE id = ? AND converted = 0",
        (text_of(next_due_at), int(has_output), session_id),
    )
