"""Turns a row of ``messages_in`` into an ``InboundRow``, whatever columns the file has.

Shared by writer and reader. A column that an older file lacks takes its default, because the
reader cannot upgrade a file that it may only read.
"""

import sqlite3
from collections.abc import Callable

from contract.address import Address
from contract.clock import parse_text
from contract.inbound.row import InboundRow, InboundStatus


def inbound_row(row: sqlite3.Row) -> InboundRow:
    """The typed form of ``SELECT *``; an unknown status counts as failed, so nobody acts on it."""
    text = _text_of(row)
    message_id = text("id") or ""
    return InboundRow(
        id=message_id,
        seq=_number(row, "seq", 0),
        kind=text("kind") or "",
        timestamp=parse_text(text("timestamp")),
        status=_status(text("status")),
        content=text("content") or "",
        address=Address(text("channel_type"), text("platform_id"), text("thread_id")),
        trigger=_number(row, "trigger", 1) != 0,
        process_after=parse_text(text("process_after")),
        recurrence=text("recurrence"),
        series_id=text("series_id") or message_id,
        tries=_number(row, "tries", 0),
        on_wake=_number(row, "on_wake", 0) != 0,
        source_session_id=text("source_session_id"),
        taint=text("taint"),
        chain_id=text("chain_id"),
        hop=_number(row, "hop", 0),
        tz=text("tz"),
        catch_up=text("catch_up"),
        reply_hint=text("reply_hint"),
        platform_message_id=text("platform_message_id"),
        event_key=text("event_key"),
    )


def _text_of(row: sqlite3.Row) -> Callable[[str], str | None]:
    present = frozenset(row.keys())

    def text(column: str) -> str | None:
        value: object = row[column] if column in present else None
        return value if isinstance(value, str) else None

    return text


def _number(row: sqlite3.Row, column: str, default: int) -> int:
    value: object = row[column] if column in row.keys() else None  # noqa: SIM118 Row is no dict
    return value if isinstance(value, int) else default


def _status(text: str | None) -> InboundStatus:
    try:
        return InboundStatus(text or "pending")
    except ValueError:
        return InboundStatus.FAILED
