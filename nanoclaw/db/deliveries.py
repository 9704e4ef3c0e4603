"""Statements on ``deliveries``: everything that goes out, and how far each message got.

Written by delivery, which alone sends; other host processes only queue what the host itself has to
say. The content is stored here, so that an agent can change nothing afterwards. A state is on disk
before the next step depends on it.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, id_list, many, one, time_of
from nanoclaw.db.sessions import session_of
from nanoclaw.model import (
    Delivery,
    DeliverySource,
    DeliveryState,
    NewDelivery,
    SentReceipt,
    Session,
)


class LaneAddress(NamedTuple):
    """A chat and thread that something waits for; unpacks in this order."""

    instance: str
    platform_id: str
    thread_id: str | None


def queue(conn: sqlite3.Connection, new: NewDelivery) -> Delivery | None:
    """The stored receipt, or None when this message has one already."""
    return one(
        conn,
        _delivery_of,
        "INSERT INTO deliveries (delivery_id, message_out_id, session_id, seq, source, instance,"
        " platform_id, thread_id, kind, content, in_reply_to, reply_hint, reply_to_message_id,"
        " completes, state, next_attempt_at, last_error, created_at, updated_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING RETURNING *",
        (
            new.delivery_id,
            new.message_out_id,
            new.session_id,
            new.seq,
            new.source,
            new.instance,
            new.platform_id,
            new.thread_id,
            new.kind,
            new.content,
            new.in_reply_to,
            new.reply_hint,
            new.reply_to_message_id,
            int(new.completes),
            new.state,
            to_text(new.next_attempt_at),
            new.last_error,
            to_text(new.created_at),
            to_text(new.created_at),
            to_text(new.expires_at),
        ),
    )


def get(conn: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    return one(conn, _delivery_of, "SELECT * FROM deliveries WHERE delivery_id = ?", (delivery_id,))


# --- what is to be sent ---------------------------------------------------------------------------


def due(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Delivery]:
    """Queued messages whose time has come, longest waiting first, whatever their chat."""
    return many(
        conn,
        _delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_due"
        " WHERE state = 'queued' AND next_attempt_at <= ?"
        " ORDER BY next_attempt_at, row_number LIMIT ?",
        (to_text(now), limit),
    )


def next_attempt_at(conn: sqlite3.Connection) -> datetime | None:
    row = conn.execute(
        "SELECT min(next_attempt_at) FROM deliveries INDEXED BY deliveries_due"
        " WHERE state = 'queued'"
    ).fetchone()
    return parse_text(row[0])


def open_lanes(conn: sqlite3.Connection) -> list[LaneAddress]:
    """Chats and threads for which something is queued or under way."""
    rows = conn.execute(
        "SELECT DISTINCT instance, platform_id, thread_id FROM deliveries"
        " INDEXED BY deliveries_open WHERE state IN ('queued', 'sending')"
    )
    return [LaneAddress(*row) for row in rows]


def open_in_lane(  # noqa: PLR0913, PLR0917 - three of them are one address
    conn: sqlite3.Connection,
    instance: str,
    platform_id: str,
    thread_id: str | None,
    after: int,
    limit: int,
) -> list[Delivery]:
    """Open messages of one lane behind row number ``after``, in the order of sending."""
    return many(
        conn,
        _delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_open"
        " WHERE state IN ('queued', 'sending') AND instance = ? AND platform_id = ?"
        " AND thread_id IS ? AND row_number > ? ORDER BY row_number LIMIT ?",
        (instance, platform_id, thread_id, after, limit),
    )


def interrupted(conn: sqlite3.Connection) -> list[Delivery]:
    """Messages that were under way when the process ended."""
    return many(
        conn,
        _delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_open"
        " WHERE state IN ('queued', 'sending') AND state = 'sending' ORDER BY row_number",
    )


def requeue_interrupted(conn: sqlite3.Connection) -> int:
    """They are offered again under the same id; the worker's journal knows what it has sent."""
    return changed(
        conn,
        "UPDATE deliveries INDEXED BY deliveries_open SET state = 'queued'"
        " WHERE state IN ('queued', 'sending') AND state = 'sending'",
    )


# --- what became of it ----------------------------------------------------------------------------


def mark_sending(conn: sqlite3.Connection, delivery_ids: Sequence[str], now: datetime) -> None:
    conn.execute(
        "UPDATE deliveries SET state = 'sending', updated_at = ?"
        " WHERE delivery_id IN (SELECT value FROM json_each(?))",
        (to_text(now), id_list(delivery_ids)),
    )


def mark_sent(
    conn: sqlite3.Connection, delivery_id: str, ids: Sequence[str], now: datetime
) -> None:
    mark_sent_many(conn, [SentReceipt(delivery_id, tuple(ids))], now)


def mark_sent_many(
    conn: sqlite3.Connection, receipts: Sequence[SentReceipt], now: datetime
) -> None:
    text = to_text(now)
    conn.executemany(
        "UPDATE deliveries SET state = 'sent', attempts = attempts + 1,"
        " platform_message_ids = ?, last_error = NULL, updated_at = ? WHERE delivery_id = ?",
        [
            (json.dumps(receipt.platform_message_ids), text, receipt.delivery_id)
            for receipt in receipts
        ],
    )


def mark_retry(  # noqa: PLR0913 - the row, and three values to be written to it
    conn: sqlite3.Connection,
    delivery_id: str,
    at: datetime,
    *,
    counts: bool,
    error: str,
    now: datetime,
) -> Delivery:
    """The receipt as it waits now. ``counts``: the try was one, not merely an absent channel."""
    delivery = one(
        conn,
        _delivery_of,
        "UPDATE deliveries SET state = 'queued', attempts = attempts + ?, next_attempt_at = ?,"
        " last_error = ?, updated_at = ? WHERE delivery_id = ? RETURNING *",
        (int(counts), to_text(at), error, to_text(now), delivery_id),
    )
    if delivery is None:
        raise LookupError(f"no delivery {delivery_id}")
    return delivery


def set_parts_done(conn: sqlite3.Connection, delivery_id: str, part_index: int) -> None:
    """A long text goes out in parts; the next attempt begins with this one."""
    conn.execute(
        "UPDATE deliveries SET part_index = ? WHERE delivery_id = ?", (part_index, delivery_id)
    )


def mark_failed(conn: sqlite3.Connection, delivery_id: str, error: str, now: datetime) -> None:
    """The end: it was given up."""
    _finish(conn, delivery_id, DeliveryState.FAILED, error, now)


def mark_uncertain(conn: sqlite3.Connection, delivery_id: str, error: str, now: datetime) -> None:
    """The end: nobody knows whether it arrived, and the channel does not repeat."""
    _finish(conn, delivery_id, DeliveryState.UNCERTAIN, error, now)


def _finish(
    conn: sqlite3.Connection, delivery_id: str, state: DeliveryState, error: str, now: datetime
) -> None:
    conn.execute(
        "UPDATE deliveries SET state = ?, attempts = attempts + 1, last_error = ?, updated_at = ?"
        " WHERE delivery_id = ?",
        (state, error, to_text(now), delivery_id),
    )


def retry_failed(conn: sqlite3.Connection, delivery_id: str, expires_at: datetime,
                 now: datetime) -> bool:  # fmt: skip
    """An administrator sends a failed or uncertain message once more."""
    return bool(
        changed(
            conn,
            "UPDATE deliveries SET state = 'queued', next_attempt_at = ?, expires_at = ?,"
            " projected = 0, updated_at = ?"
            " WHERE delivery_id = ? AND state IN ('failed', 'uncertain')",
            (to_text(now), to_text(expires_at), to_text(now), delivery_id),
        )
    )


def recent(conn: sqlite3.Connection, state: DeliveryState | None, limit: int) -> list[Delivery]:
    """Newest first, of one state or of all."""
    return many(
        conn,
        _delivery_of,
        "SELECT * FROM deliveries WHERE state = coalesce(?, state)"
        " ORDER BY row_number DESC LIMIT ?",
        (state, limit),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int = 10_000) -> int:
    """Forgets settled receipts of long ago that their session has been told of; how many."""
    return changed(
        conn,
        "DELETE FROM deliveries WHERE row_number IN (SELECT row_number FROM deliveries"
        " WHERE created_at < ? AND state IN ('sent', 'failed', 'uncertain')"
        " AND (projected = 1 OR source = 'host')"
        " ORDER BY created_at LIMIT ?)",
        (to_text(before), limit),
    )


# --- what the agent has been told -----------------------------------------------------------------


def unprojected(conn: sqlite3.Connection, session_id: str) -> list[Delivery]:
    """Settled receipts that the session's inbound file does not show yet."""
    return many(
        conn,
        _delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_unprojected"
        " WHERE session_id = ? AND projected = 0 AND source = 'agent'"
        " AND state IN ('sent', 'failed', 'uncertain') ORDER BY row_number",
        (session_id,),
    )


def sessions_to_project(conn: sqlite3.Connection) -> list[Session]:
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE id IN (SELECT DISTINCT session_id"
        " FROM deliveries INDEXED BY deliveries_unprojected"
        " WHERE projected = 0 AND source = 'agent' AND state IN ('sent', 'failed', 'uncertain'))",
    )


def mark_projected(conn: sqlite3.Connection, delivery_ids: Sequence[str]) -> None:
    conn.execute(
        "UPDATE deliveries SET projected = 1 WHERE delivery_id IN (SELECT value FROM json_each(?))",
        (id_list(delivery_ids),),
    )


def _delivery_of(row: sqlite3.Row) -> Delivery:
    return Delivery(
        row_number=row["row_number"],
        delivery_id=row["delivery_id"],
        message_out_id=row["message_out_id"],
        session_id=row["session_id"],
        seq=row["seq"],
        source=DeliverySource(row["source"]),
        instance=row["instance"],
        platform_id=row["platform_id"],
        thread_id=row["thread_id"],
        kind=row["kind"],
        content=row["content"],
        in_reply_to=row["in_reply_to"],
        reply_hint=row["reply_hint"],
        reply_to_message_id=row["reply_to_message_id"],
        completes=bool(row["completes"]),
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        next_attempt_at=parse_text(row["next_attempt_at"]),
        last_error=row["last_error"],
        part_index=row["part_index"],
        platform_message_ids=tuple(json.loads(row["platform_message_ids"])),
        projected=bool(row["projected"]),
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        expires_at=time_of(row["expires_at"]),
    )
