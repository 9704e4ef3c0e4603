"""What the runner's tools ask ``inbound.db``: single rows, and what came after a moment.

Beside ``reader``, which serves the loop; the same rules hold (fresh connection, one short
transaction, SessionFileBusy for passing trouble). Called by the desk and by the container's
``ncl``.
"""

from collections.abc import Sequence
from pathlib import Path

from contract.address import Address
from contract.inbound.decode import inbound_row
from contract.inbound.reader import find_cli_response, reading
from contract.inbound.row import InboundRow
from contract.jsontext import dump

RESPONSE_PREFIX = "cli-resp-"
RECENT = 20
"""Rows of one chat looked at for the newest that the agent was given."""


def read_rows(path: Path, ids: Sequence[str]) -> tuple[InboundRow, ...]:
    """The rows with these ids, by number; those that are gone are left out."""
    with reading(path) as conn:
        rows = conn.execute(
            "SELECT * FROM messages_in WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (dump(list(ids)),),
        )
        return tuple(inbound_row(row) for row in rows)


def read_recent_from(path: Path, chat: Address, limit: int = RECENT) -> tuple[InboundRow, ...]:
    """The last rows from a channel and chat in whatever thread, newest first (R-144)."""
    with reading(path) as conn:
        rows = conn.execute(
            """
            SELECT * FROM messages_in WHERE channel_type = ? AND platform_id = ?
            ORDER BY seq DESC LIMIT ?
            """,
            (chat.channel_type, chat.platform_id, limit),
        )
        return tuple(inbound_row(row) for row in rows)


def read_chat_after(path: Path, chat: Address, seq: int) -> InboundRow | None:
    """The first message of that chat above this number that is meant to be answered (R-170)."""
    with reading(path) as conn:
        rows = conn.execute(
            """
            SELECT * FROM messages_in
            WHERE channel_type = ? AND platform_id = ? AND seq > ? AND kind IN ('chat', 'chat-sdk')
            ORDER BY seq
            """,
            (chat.channel_type, chat.platform_id, seq),
        )
        return next((row for row in map(inbound_row, rows) if row.trigger), None)


def find_response(path: Path, request_id: str) -> InboundRow | None:
    """The pending answer to an administrative request (R-182).

    Found by the id that the host gives it, else by what is in it.
    """
    with reading(path) as conn:
        row = conn.execute(
            "SELECT * FROM messages_in WHERE id = ? AND status = 'pending'",
            (RESPONSE_PREFIX + request_id,),
        ).fetchone()
    return find_cli_response(path, request_id) if row is None else inbound_row(row)


def find_task(path: Path, task_id: str) -> InboundRow | None:
    """The newest row of a series, named by the series or by any of its occurrences (H-249)."""
    with reading(path) as conn:
        rows = conn.execute("SELECT * FROM messages_in WHERE kind = 'task' ORDER BY seq DESC")
        return next(
            (row for row in map(inbound_row, rows) if task_id in (row.id, row.series_id)), None
        )
