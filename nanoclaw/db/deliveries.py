"""Statements on ``deliveries``: everything that goes out, and how far each message got.

Written by delivery, which alone sends; other host processes only queue what the host itself has to
say. The content is stored here, so that an agent can change nothing afterwards. A state is on disk
before the next step depends on it.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from contract.clock import to_text
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db.rows import changed, exists, id_list, many, moment, one, time_of
from nanoclaw.db.sessions import session_of
from nanoclaw.events import SpoolFile
from nanoclaw.model import (
    Delivery,
    DeliverySource,
    DeliveryState,
    FilesState,
    NewDelivery,
    SentReceipt,
    Session,
)

LATE_NEWS = 10_000
"""Receipts among which a late failure looks for its message; no index is kept for it."""


class Failure(StrEnum):
    """What kind of end a message had; decides who is told of it, and how."""

    REFUSED = "refused"
    """By us: bad content, or no permission. Its agent's affair."""
    PERMANENT = "permanent"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    LATE = "late"
    DENIED = "denied"
    """A person did not allow it; the approval tells its agent."""
    LEAK = "leak"
    """It contains a secret of the owner, who is told which one."""


class LaneAddress(NamedTuple):
    """A chat and thread that something waits for; unpacks in this order."""

    instance: str
    platform_id: str
    thread_id: str | None


def queue(conn: sqlite3.Connection, new: NewDelivery) -> Delivery | None:
    """The stored receipt, or None when this message has one already."""
    return one(
        conn,
        delivery_of,
        "INSERT INTO deliveries (delivery_id, message_out_id, session_id, seq, source, instance,"
        " platform_id, thread_id, kind, content, in_reply_to, reply_hint, reply_to_message_id,"
        " completes, state, next_attempt_at, last_error, created_at, updated_at, expires_at,"
        " files_state, refers_to, uncertain_policy, taint, waits_for, failure, told)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
            new.files_state,
            new.refers_to,
            new.uncertain_policy,
            new.taint,
            new.waits_for,
            new.failure,
            int(new.told),
        ),
    )


def get(conn: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    return one(conn, delivery_of, "SELECT * FROM deliveries WHERE delivery_id = ?", (delivery_id,))


# --- what is to be sent ---------------------------------------------------------------------------


def due(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Delivery]:
    """Queued messages whose time has come, longest waiting first, whatever their chat."""
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_due"
        " WHERE state = 'queued' AND next_attempt_at <= ?"
        " ORDER BY next_attempt_at, row_number LIMIT ?",
        (to_text(now), limit),
    )


def open_lanes(conn: sqlite3.Connection) -> list[LaneAddress]:
    """Chats and threads for which something is queued or under way."""
    rows = conn.execute(
        "SELECT DISTINCT instance, platform_id, thread_id FROM deliveries"
        " INDEXED BY deliveries_open WHERE state IN ('queued', 'sending')"
    )
    return [LaneAddress(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a lane is wanted: what lies behind a row number, and is not for later."""

    after: int
    limit: int
    now: datetime


def open_in_lane(
    conn: sqlite3.Connection, instance: str, platform_id: str, thread_id: str | None,
    window: Window,
) -> list[Delivery]:  # fmt: skip
    """Open messages of one lane, in the order of sending.

    One that its agent wants to be sent later is not in the lane before its time; one that waits
    for its next attempt is, because those behind it wait with it.
    """
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_open"
        " WHERE state IN ('queued', 'sending') AND instance = ? AND platform_id = ?"
        " AND thread_id IS ? AND row_number > ? AND joined_into IS NULL"
        " AND (next_attempt_at <= ? OR last_error IS NOT NULL) ORDER BY row_number LIMIT ?",
        (instance, platform_id, thread_id, window.after, to_text(window.now), window.limit),
    )


def next_scheduled(conn: sqlite3.Connection, now: datetime) -> datetime | None:
    """When the next message becomes due whose agent wanted it to be sent later."""
    return moment(
        conn,
        "SELECT next_attempt_at FROM deliveries INDEXED BY deliveries_due"
        " WHERE state = 'queued' AND next_attempt_at > ? AND last_error IS NULL"
        " ORDER BY next_attempt_at LIMIT 1",
        (to_text(now),),
    )


def expired(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Delivery]:
    """Queued messages whose time is over, whether or not their channel is there (C-37)."""
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries INDEXED BY deliveries_expiry"
        " WHERE state = 'queued' AND expires_at <= ? AND joined_into IS NULL"
        " ORDER BY expires_at LIMIT ?",
        (to_text(now), limit),
    )


def requeue_interrupted(conn: sqlite3.Connection) -> int:
    """They are offered again under the same id; the worker's journal knows what it has sent."""
    return changed(
        conn,
        "UPDATE deliveries INDEXED BY deliveries_open SET state = 'queued',"
        " last_error = coalesce(last_error, 'interrupted')"
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
    if _has_joined(conn):
        conn.executemany(
            "UPDATE deliveries INDEXED BY deliveries_joined SET state = 'sent', attempts = 1,"
            " platform_message_ids = ?, updated_at = ?"
            " WHERE joined_into = ? AND state IN ('queued', 'sending')",
            [
                (json.dumps(receipt.platform_message_ids), text, receipt.delivery_id)
                for receipt in receipts
            ],
        )


def _has_joined(conn: sqlite3.Connection) -> bool:
    return exists(
        conn,
        "SELECT 1 FROM deliveries INDEXED BY deliveries_joined"
        " WHERE joined_into IS NOT NULL AND state IN ('queued', 'sending') LIMIT 1",
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
        delivery_of,
        "UPDATE deliveries SET state = 'queued', attempts = attempts + ?, next_attempt_at = ?,"
        " last_error = ?, updated_at = ? WHERE delivery_id = ? RETURNING *",
        (int(counts), to_text(at), error, to_text(now), delivery_id),
    )
    if delivery is None:
        raise LookupError(f"no delivery {delivery_id}")
    return delivery


def mark_failed(
    conn: sqlite3.Connection, delivery_id: str, error: str, now: datetime,
    failure: Failure = Failure.PERMANENT,
) -> None:  # fmt: skip
    """The end: it was given up."""
    _finish(conn, delivery_id, DeliveryState.FAILED, error, (failure, now))


def mark_uncertain(conn: sqlite3.Connection, delivery_id: str, error: str, now: datetime) -> None:
    """The end: nobody knows whether it arrived, and the channel does not repeat."""
    _finish(conn, delivery_id, DeliveryState.UNCERTAIN, error, (Failure.UNCERTAIN, now))


def _finish(
    conn: sqlite3.Connection, delivery_id: str, state: DeliveryState, error: str,
    what: tuple[Failure, datetime],
) -> None:  # fmt: skip
    """With it ends what was joined into it; whoever spoke in vain is still to be told."""
    failure, now = what
    conn.execute(
        "UPDATE deliveries SET state = ?, attempts = attempts + 1, last_error = ?, failure = ?,"
        " told = 0, updated_at = ? WHERE delivery_id = ?",
        (state, error, failure, to_text(now), delivery_id),
    )
    conn.execute(
        "UPDATE deliveries INDEXED BY deliveries_joined SET state = ?, last_error = ?,"
        " failure = ?, told = 0, updated_at = ? WHERE joined_into = ?"
        " AND state IN ('queued', 'sending')",
        (state, error, failure, to_text(now), delivery_id),
    )


def note_late_failure(
    conn: sqlite3.Connection, instance: str, platform_message_id: str, detail: str, now: datetime
) -> bool:
    """The platform took a message and says later that it did not arrive (C-16).

    False when it is none of ours, or too long ago. Ring DELIVERY afterwards.
    """
    return bool(
        changed(
            conn,
            "UPDATE deliveries SET state = 'failed', last_error = ?, failure = 'late', told = 0,"
            " updated_at = ? WHERE row_number = (SELECT row_number FROM deliveries"
            " WHERE row_number > (SELECT max(row_number) FROM deliveries) - ?"
            " AND instance = ? AND state = 'sent' AND EXISTS"
            " (SELECT 1 FROM json_each(platform_message_ids) WHERE value = ?)"
            " ORDER BY row_number DESC LIMIT 1)",
            (detail, to_text(now), LATE_NEWS, instance, platform_message_id),
        )
    )


# --- what the agent has been told -----------------------------------------------------------------


def unprojected(conn: sqlite3.Connection, session_id: str) -> list[Delivery]:
    """Settled receipts that the session's inbound file does not show yet."""
    return many(
        conn,
        delivery_of,
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


# Every message passes here several times; looking a word up is ten times faster than making it.
_SOURCES = {item.value: item for item in DeliverySource}
_STATES = {item.value: item for item in DeliveryState}
_FILES_STATES = {item.value: item for item in FilesState}
_POLICIES: dict[str | None, UncertainPolicy | None] = {
    None: None,
    **{item.value: item for item in UncertainPolicy},
}


def _listed(text: str) -> tuple[Any, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def delivery_of(row: sqlite3.Row) -> Delivery:
    return Delivery(
        row_number=row["row_number"],
        delivery_id=row["delivery_id"],
        message_out_id=row["message_out_id"],
        session_id=row["session_id"],
        seq=row["seq"],
        source=_SOURCES[row["source"]],
        instance=row["instance"],
        platform_id=row["platform_id"],
        thread_id=row["thread_id"],
        kind=row["kind"],
        content=row["content"],
        in_reply_to=row["in_reply_to"],
        reply_hint=row["reply_hint"],
        reply_to_message_id=row["reply_to_message_id"],
        completes=bool(row["completes"]),
        state=_STATES[row["state"]],
        attempts=row["attempts"],
        next_attempt_at=time_of(row["next_attempt_at"]),
        last_error=row["last_error"],
        part_index=row["part_index"],
        platform_message_ids=_listed(row["platform_message_ids"]),
        projected=bool(row["projected"]),
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        expires_at=time_of(row["expires_at"]),
        files_state=_FILES_STATES[row["files_state"]],
        files=tuple(SpoolFile(**file) for file in _listed(row["files"])),
        files_problem=row["files_problem"],
        refers_to=row["refers_to"],
        uncertain_policy=_POLICIES[row["uncertain_policy"]],
        taint=row["taint"],
        waits_for=row["waits_for"],
        joined_into=row["joined_into"],
        failure=row["failure"],
        told=bool(row["told"]),
    )
