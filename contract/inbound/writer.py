"""Everything the host writes into ``inbound.db``, and what it asks about its own rows.

Used by router, delivery, sweep and admin, which all write the same files: every open is one
immediate transaction with ``seq`` computed inside, so two writers never meet (H-43). A container
can hold a read lock; the writer waits 50 ms at most and leaves the row to the redo log.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from contract.address import Address, Destination
from contract.clock import parse_text, to_text
from contract.inbound.decode import inbound_row
from contract.inbound.row import (
    AckStatus,
    DeliveredMark,
    InboundRow,
    MessageKind,
    NewInbound,
    PendingSummary,
)
from contract.inbound.upgrade import upgrade
from contract.sqlitefile import open_for_write

BUSY_MS = 50
_FILE_MODE = 0o644
"""Readable for the container's user, who is not ours when the host is root; folders guard it."""


def create_inbound(path: Path) -> None:
    """Makes the file with today's schema, or upgrades the one that is there."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
    try:
        os.fchmod(fd, _FILE_MODE)
    finally:
        os.close(fd)
    with open_inbound(path):
        pass


@contextmanager
def open_inbound(path: Path, *, busy_ms: int = BUSY_MS) -> Iterator["InboundWriter"]:
    """One transaction on the file, upgraded first if it is an old one.

    Raises SessionFileMissing, SessionFileBusy (nothing written, try later), SessionFileCorrupt
    and SchemaMismatch. The with block runs while the file is locked: no slow work inside.
    """
    with open_for_write(path, mode="rw", busy_ms=busy_ms) as conn:
        upgrade(conn, path)
        yield InboundWriter(conn)


class InboundWriter:
    """Statements of one open transaction; made by ``open_inbound`` only."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def insert_message(self, new: NewInbound) -> int | None:
        """The new row's even number, or None when a row with this id exists already."""
        seq = _next_even(self.max_seq())
        cursor = self._conn.execute(
            """
            INSERT INTO messages_in
              (id, seq, kind, timestamp, status, process_after, recurrence, series_id, tries,
               trigger, platform_id, channel_type, thread_id, content, source_session_id,
               on_wake, taint, chain_id, hop, tz, catch_up, reply_hint, platform_message_id,
               event_key)
            VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING
            """,
            (
                new.id,
                seq,
                new.kind,
                to_text(new.timestamp),
                to_text(new.process_after) if new.process_after else None,
                new.recurrence,
                new.series_id or new.id,
                int(new.trigger),
                new.address.platform_id,
                new.address.channel_type,
                new.address.thread_id,
                new.content,
                new.source_session_id,
                int(new.on_wake),
                new.taint,
                new.chain_id,
                new.hop,
                new.tz,
                new.catch_up,
                new.reply_hint,
                new.platform_message_id,
                new.event_key,
            ),
        )
        return seq if cursor.rowcount == 1 else None

    def mark_delivered(self, marks: Sequence[DeliveredMark]) -> None:
        """Projects receipts for the agent; a row that is there already stays (H-67)."""
        self._conn.executemany(
            """
            INSERT INTO delivered (message_out_id, platform_message_id, status, delivered_at)
            VALUES (?, ?, ?, ?) ON CONFLICT (message_out_id) DO NOTHING
            """,
            [
                (
                    mark.message_out_id,
                    mark.platform_message_id,
                    mark.status,
                    to_text(mark.delivered_at) if mark.delivered_at else "",
                )
                for mark in marks
            ],
        )

    def sync_acks(self, acks: Mapping[str, AckStatus]) -> int:
        """Takes over finished claims; the number of rows that changed.

        Only rows that still wait change, so that a settled or paused row keeps its state; a
        failed claim ends as failed (W-28).
        """
        cursor = self._conn.executemany(
            "UPDATE messages_in SET status = ? WHERE id = ? AND status = 'pending'",
            [(status, key) for key, status in acks.items() if status is not AckStatus.PROCESSING],
        )
        return max(cursor.rowcount, 0)

    def replace_destinations(self, destinations: Sequence[Destination]) -> None:
        """The whole projection at once (H-50)."""
        self._conn.execute("DELETE FROM destinations")
        self._conn.executemany(
            """
            INSERT INTO destinations
              (name, display_name, type, channel_type, platform_id, agent_group_id)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            [
                (d.name, d.display_name, d.type, d.channel_type, d.platform_id, d.agent_group_id)
                for d in destinations
            ],
        )

    def set_session_routing(self, address: Address | None) -> None:
        """Where the session's answers go by default; None: nowhere (H-49)."""
        target = address or Address()
        self._conn.execute(
            """
            INSERT INTO session_routing (id, channel_type, platform_id, thread_id)
            VALUES (1, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET channel_type = excluded.channel_type,
              platform_id = excluded.platform_id, thread_id = excluded.thread_id
            """,
            (target.channel_type, target.platform_id, target.thread_id),
        )

    def retry_later(self, message_id: str, at: datetime) -> None:
        """One more try, not before ``at`` (H-62)."""
        self._conn.execute(
            """
            UPDATE messages_in SET tries = coalesce(tries, 0) + 1, process_after = ?
            WHERE id = ? AND status = 'pending'
            """,
            (to_text(at), message_id),
        )

    def mark_failed(self, message_id: str) -> None:
        """Gives the row up (H-63)."""
        self._conn.execute(
            "UPDATE messages_in SET status = 'failed' WHERE id = ? AND status = 'pending'",
            (message_id,),
        )

    # --- tasks ------------------------------------------------------------------------------------

    def live_tasks(self, task_id: str) -> tuple[InboundRow, ...]:
        """Waiting and paused rows of a series, named by it or by any of its rows (H-249)."""
        rows = self._conn.execute(
            """
            SELECT * FROM messages_in
            WHERE kind = 'task' AND status IN ('pending', 'paused')
              AND series_id IN (
                SELECT coalesce(series_id, id) FROM messages_in
                WHERE kind = 'task' AND (id = ? OR series_id = ?))
            ORDER BY seq
            """,
            (task_id, task_id),
        )
        return tuple(inbound_row(row) for row in rows)

    def newest_task(self, series_id: str) -> InboundRow | None:
        row = self._conn.execute(
            """
            SELECT * FROM messages_in
            WHERE kind = 'task' AND (series_id = ? OR id = ?) ORDER BY seq DESC LIMIT 1
            """,
            (series_id, series_id),
        ).fetchone()
        return None if row is None else inbound_row(row)

    def cancel_task(self, row_id: str) -> bool:
        """Ends the row without a successor (H-250)."""
        return self._changed(
            """
            UPDATE messages_in SET status = 'completed', recurrence = NULL
            WHERE id = ? AND status IN ('pending', 'paused')
            """,
            (row_id,),
        )

    def pause_task(self, row_id: str) -> bool:
        return self._changed(
            "UPDATE messages_in SET status = 'paused' WHERE id = ? AND status = 'pending'",
            (row_id,),
        )

    def resume_task(self, row_id: str) -> bool:
        return self._changed(
            "UPDATE messages_in SET status = 'pending' WHERE id = ? AND status = 'paused'",
            (row_id,),
        )

    def rewrite_task(
        self, row_id: str, content: str, process_after: datetime | None, recurrence: str | None
    ) -> bool:
        """All three columns of a live row; the caller has merged what changes (H-252)."""
        return self._changed(
            """
            UPDATE messages_in SET content = ?, process_after = ?, recurrence = ?
            WHERE id = ? AND status IN ('pending', 'paused')
            """,
            (content, to_text(process_after) if process_after else None, recurrence, row_id),
        )

    def ended_recurring(self, limit: int) -> tuple[InboundRow, ...]:
        """Rows of any kind that are over and still have a repetition to bring forth (H-253).

        Failed ones too, or a series would end with its first bad run (W-25).
        """
        rows = self._conn.execute(
            """
            SELECT * FROM messages_in
            WHERE recurrence IS NOT NULL AND status IN ('completed', 'failed')
            ORDER BY seq LIMIT ?
            """,
            (limit,),
        )
        return tuple(inbound_row(row) for row in rows)

    def take_recurrence(self, row_id: str, recurrence: str) -> bool:
        """True for the one caller who may now write the successor, in this transaction (W-27)."""
        return self._changed(
            """
            UPDATE messages_in SET recurrence = NULL
            WHERE id = ? AND recurrence = ? AND status IN ('completed', 'failed')
            """,
            (row_id, recurrence),
        )

    def waiting_tasks(self, catch_up: str) -> tuple[InboundRow, ...]:
        """Tasks that wait for their time and have this policy for a missed one."""
        rows = self._conn.execute(
            """
            SELECT * FROM messages_in
            WHERE status = 'pending' AND kind = 'task' AND catch_up = ? ORDER BY seq
            """,
            (catch_up,),
        )
        return tuple(inbound_row(row) for row in rows)

    def expire_answers(self, before: datetime) -> int:
        """Ends answers that nobody has fetched since ``before``; how many (W-35)."""
        rows = self._conn.execute(
            "SELECT id, timestamp FROM messages_in WHERE status = 'pending' AND kind = 'system'"
        ).fetchall()
        old = [key for key, text in rows if (parse_text(text) or before) <= before]
        self._conn.executemany(
            "UPDATE messages_in SET status = 'completed' WHERE id = ? AND status = 'pending'",
            [(key,) for key in old],
        )
        return len(old)

    def forget_responses(self, before: datetime) -> int:
        """Deletes fetched answers to administrative commands of before then; how many (N-96)."""
        return self._conn.execute(
            "DELETE FROM messages_in WHERE id GLOB 'cli-resp-*' AND kind = 'system'"
            " AND status = 'completed' AND timestamp < ?",
            (to_text(before),),
        ).rowcount

    # --- questions about our own rows -------------------------------------------------------------

    def pending_summary(self, now: datetime) -> PendingSummary:
        """What a container would find; system rows wake nobody (W-35)."""
        rows = self._conn.execute(
            "SELECT kind, trigger, process_after FROM messages_in WHERE status = 'pending'"
        )
        total, due, later = 0, 0, []
        for kind, trigger, process_after in rows:
            total += 1
            if not trigger or kind == MessageKind.SYSTEM:
                continue
            moment = parse_text(process_after)
            if process_after is None or (moment is not None and moment <= now):
                due += 1
            elif moment is not None:
                later.append(moment)
        return PendingSummary(due, min(later, default=None), total)

    def pending_ids(self) -> frozenset[str]:
        rows = self._conn.execute("SELECT id FROM messages_in WHERE status = 'pending'")
        return frozenset(row[0] for row in rows)

    def find(self, message_id: str) -> InboundRow | None:
        row = self._conn.execute("SELECT * FROM messages_in WHERE id = ?", (message_id,)).fetchone()
        return None if row is None else inbound_row(row)

    def find_newest_from_agent(self, agent_group_id: str) -> InboundRow | None:
        """The last row another agent sent here that names its session (H-242, step 2)."""
        row = self._conn.execute(
            """
            SELECT * FROM messages_in
            WHERE channel_type = 'agent' AND platform_id = ? AND source_session_id IS NOT NULL
            ORDER BY seq DESC LIMIT 1
            """,
            (agent_group_id,),
        ).fetchone()
        return None if row is None else inbound_row(row)

    def _changed(self, sql: str, parameters: Sequence[str | None]) -> bool:
        return self._conn.execute(sql, parameters).rowcount > 0

    def max_seq(self) -> int:
        highest: int | None = self._conn.execute("SELECT max(seq) FROM messages_in").fetchone()[0]
        return highest or 0


def _next_even(highest: int) -> int:
    """H-43. The parity is what lets one number name a message in either file."""
    return 2 if highest < 2 else highest + 2 - highest % 2
