"""Everything the runner writes into ``outbound.db``.

Only the runner and the programs it starts import this. One ``with`` is one transaction, so that
output rows and the completion of their input are on disk together or not at all; closing the
file is what wakes the host. Claims carry the lease's token: a claim of another lease belongs to
a container that is gone.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import to_text
from contract.inbound.row import AckStatus
from contract.inbound.upgrade import add_missing
from contract.jsontext import dump
from contract.outbound import schema
from contract.outbound.reader import BUSY_MS, OutboundReader
from contract.outbound.row import NewOutbound, UsageEntry
from contract.sqlitefile import contract_version, open_for_write
from contract.version import CONTRACT_VERSION

KEEP_NEWEST = 500
"""Delivered messages that stay, so that the agent can still edit them by number."""
KEEP_USAGE_DAYS = 90
KEEP_USAGE_ROWS = 20_000
"""Some 4 MB."""


@contextmanager
def open_outbound(path: Path, *, busy_ms: int = BUSY_MS) -> Iterator["OutboundWriter"]:
    """One transaction on the file, which is created or upgraded first if needed."""
    with open_for_write(path, mode="rwc", busy_ms=busy_ms) as conn:
        _upgrade(conn, path)
        yield OutboundWriter(conn)


def _upgrade(conn: sqlite3.Connection, path: Path) -> None:
    if contract_version(conn, path) == CONTRACT_VERSION:
        return
    for statement in schema.TABLES:
        conn.execute(statement)
    add_missing(conn, "messages_out", schema.ADDED_TO_MESSAGES_OUT)
    add_missing(conn, "processing_ack", schema.ADDED_TO_PROCESSING_ACK)
    add_missing(conn, "session_state", schema.ADDED_TO_SESSION_STATE)
    conn.execute(f"PRAGMA user_version = {CONTRACT_VERSION:d}")


class OutboundWriter(OutboundReader):
    """Statements of one open transaction; made by ``open_outbound`` only."""

    def claim(self, ids: Iterable[str], lease: int, now: datetime) -> None:
        """Marks rows as being worked on; a settled row is not claimed again."""
        self._conn.executemany(
            """
            INSERT INTO processing_ack (message_id, status, status_changed, lease, tries)
            VALUES (?, 'processing', ?, ?, 1)
            ON CONFLICT (message_id) DO UPDATE SET
              status_changed = excluded.status_changed, lease = excluded.lease, tries = tries + 1
            WHERE status = 'processing'
            """,
            [(message_id, to_text(now), lease) for message_id in ids],
        )

    def complete(self, ids: Iterable[str], now: datetime) -> None:
        """Settles rows as done, whether they were claimed or passed over unread."""
        self._settle(ids, AckStatus.COMPLETED, now)

    def fail(self, ids: Iterable[str], now: datetime) -> None:
        self._settle(ids, AckStatus.FAILED, now)

    def release(self, ids: Iterable[str]) -> None:
        """Gives claims back, so that the rows are read again (R-84)."""
        self._conn.executemany(
            "DELETE FROM processing_ack WHERE message_id = ? AND status = 'processing'",
            [(message_id,) for message_id in ids],
        )

    def release_stale_claims(self, lease: int) -> list[str]:
        """Removes the claims of every other lease; the ids that are free again (R-45)."""
        rows = self._conn.execute(
            """
            DELETE FROM processing_ack WHERE status = 'processing' AND lease IS NOT ?
            RETURNING message_id
            """,
            (lease,),
        )
        return [row[0] for row in rows.fetchall()]

    def write_message(self, new: NewOutbound, inbound_max_seq: int) -> int:
        """The message's odd number, above everything in both files (R-48).

        An id that is there already keeps its row and number, so that a turn can be repeated.
        """
        seq = _next_odd(max(self.max_seq(), inbound_max_seq))
        self._conn.execute(
            """
            INSERT INTO messages_out
              (id, seq, in_reply_to, timestamp, deliver_after, kind, platform_id, channel_type,
               thread_id, content, taint, chain_id, hop)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING
            """,
            (
                new.id,
                seq,
                new.in_reply_to,
                to_text(new.timestamp),
                to_text(new.deliver_after) if new.deliver_after else None,
                new.kind,
                new.address.platform_id,
                new.address.channel_type,
                new.address.thread_id,
                new.content,
                new.taint,
                new.chain_id,
                new.hop,
            ),
        )
        row = self._conn.execute("SELECT seq FROM messages_out WHERE id = ?", (new.id,)).fetchone()
        return int(row[0])

    def set_state(self, key: str, value: str, now: datetime) -> None:
        self._conn.execute(
            """
            INSERT INTO session_state (key, value, updated_at) VALUES (?, ?, ?)
            ON CONFLICT (key) DO UPDATE SET
              value = excluded.value, updated_at = excluded.updated_at
            """,
            (key, value, to_text(now)),
        )

    def delete_state(self, key: str) -> None:
        self._conn.execute("DELETE FROM session_state WHERE key = ?", (key,))

    def delete_states(self, prefix: str) -> None:
        """Every key that begins so."""
        self._conn.execute(
            "DELETE FROM session_state WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )

    def set_tool_in_flight(self, tool: str, timeout_ms: int | None, now: datetime) -> None:
        """Tells the host why nothing is heard; "Bash" widens its patience (R-60)."""
        self._set_container_state(tool, timeout_ms, to_text(now), to_text(now))

    def clear_tool_in_flight(self, now: datetime) -> None:
        self._set_container_state(None, None, None, to_text(now))

    def log_usage(self, entry: UsageEntry) -> None:
        self._conn.execute(
            """
            INSERT INTO usage_log
              (ts, conversation, turn, kind, model, input_tokens, output_tokens, thinking_tokens,
               cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_searches,
               web_fetches, cost_usd, duration_ms, stop_reason, retries, inbound_id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                to_text(entry.at),
                entry.conversation,
                entry.turn,
                entry.kind,
                entry.model,
                entry.input_tokens,
                entry.output_tokens,
                entry.thinking_tokens,
                entry.cache_read_tokens,
                entry.cache_write_5m_tokens,
                entry.cache_write_1h_tokens,
                entry.web_searches,
                entry.web_fetches,
                entry.cost_usd,
                entry.duration_ms,
                entry.stop_reason,
                entry.retries,
                entry.inbound_id,
            ),
        )

    def prune_usage(self, now: datetime, keep_newest: int = KEEP_USAGE_ROWS) -> int:
        """Deletes rows of the usage log that are old, or too many (R-321); how many went.

        The number is bounded as well, because the host reads the whole file at each change.
        """
        cursor = self._conn.execute(
            """
            DELETE FROM usage_log
            WHERE ts < ? OR id <= (SELECT max(id) FROM usage_log) - ?
            """,
            (to_text(now - timedelta(days=KEEP_USAGE_DAYS)), max(keep_newest, 1)),
        )
        return cursor.rowcount

    def prune(self, delivered_ids: Collection[str], keep_newest: int = KEEP_NEWEST) -> int:
        """Deletes messages the host has recorded, except the newest; how many went."""
        cursor = self._conn.execute(
            """
            DELETE FROM messages_out
            WHERE id IN (SELECT value FROM json_each(?))
              AND id NOT IN (SELECT id FROM messages_out ORDER BY seq DESC LIMIT ?)
            """,
            (dump(list(delivered_ids)), max(keep_newest, 1)),
        )
        return cursor.rowcount

    def drop_settled_acks(self, pending_ids: Collection[str]) -> int:
        """Deletes acknowledgements that the host has taken over (R-46); how many went."""
        cursor = self._conn.execute(
            """
            DELETE FROM processing_ack WHERE status <> 'processing'
              AND message_id NOT IN (SELECT value FROM json_each(?))
            """,
            (dump(list(pending_ids)),),
        )
        return cursor.rowcount

    def _settle(self, ids: Iterable[str], status: AckStatus, now: datetime) -> None:
        self._conn.executemany(
            """
            INSERT INTO processing_ack (message_id, status, status_changed) VALUES (?, ?, ?)
            ON CONFLICT (message_id) DO UPDATE SET
              status = excluded.status, status_changed = excluded.status_changed
            """,
            [(message_id, status, to_text(now)) for message_id in ids],
        )

    def _set_container_state(
        self, tool: str | None, timeout_ms: int | None, started: str | None, updated: str
    ) -> None:
        self._conn.execute(
            """
            INSERT INTO container_state
              (id, current_tool, tool_declared_timeout_ms, tool_started_at, updated_at)
            VALUES (1, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET current_tool = excluded.current_tool,
              tool_declared_timeout_ms = excluded.tool_declared_timeout_ms,
              tool_started_at = excluded.tool_started_at, updated_at = excluded.updated_at
            """,
            (tool, timeout_ms, started, updated),
        )


def _next_odd(highest: int) -> int:
    """R-48. The parity is what lets one number name a message in either file."""
    return highest + 1 if highest % 2 == 0 else highest + 2
