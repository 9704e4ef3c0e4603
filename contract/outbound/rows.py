"""Checks each value that comes out of a hostile ``outbound.db`` and makes typed rows.

Pure; called by ``snapshot`` only. None means: a runner would not have written this, leave it
out. Bounds are far above what a runner writes and far below what could hurt a host process.
"""

from collections.abc import Mapping
from datetime import datetime

from contract.address import MAX_PART_BYTES, Address
from contract.clock import parse_text
from contract.content import MAX_OUTBOUND_BYTES
from contract.inbound.row import AckStatus
from contract.outbound.row import Ack, ContainerState, OutboundRow

Record = Mapping[str, object]

READ_TABLES = frozenset({"messages_out", "processing_ack", "container_state"})
MAX_SEQ = 2**53
_MAX_ID = 256
_MAX_NAME = 1024
_MAX_KIND = 32


class _BadValueError(Exception):
    """A value has a wrong type or size."""


def outbound_row(record: Record) -> OutboundRow | None:
    """A message, or None."""
    try:
        return OutboundRow(
            id=_needed(record, "id", _MAX_ID),
            seq=_seq(record),
            kind=_needed(record, "kind", _MAX_KIND),
            timestamp=_time(record, "timestamp"),
            content=_content(record),
            address=Address(
                _text(record, "channel_type", MAX_PART_BYTES),
                _text(record, "platform_id", MAX_PART_BYTES),
                _text(record, "thread_id", MAX_PART_BYTES),
            ),
            in_reply_to=_text(record, "in_reply_to", _MAX_NAME),
            deliver_after=_time(record, "deliver_after"),
            taint=_text(record, "taint", _MAX_NAME),
            chain_id=_text(record, "chain_id", _MAX_ID),
            hop=_number(record, "hop") or 0,
        )
    except _BadValueError:
        return None


def ack(record: Record) -> Ack | None:
    """A claim, or None."""
    try:
        return Ack(
            message_id=_needed(record, "message_id", _MAX_NAME),
            status=AckStatus(_needed(record, "status", _MAX_KIND)),
            status_changed=_time(record, "status_changed"),
            lease=_number(record, "lease"),
            tries=_number(record, "tries") or 0,
        )
    except (_BadValueError, ValueError):
        return None


def container_state(record: Record) -> ContainerState | None:
    """The running tool, or None."""
    try:
        return ContainerState(
            current_tool=_text(record, "current_tool", _MAX_ID),
            tool_declared_timeout_ms=_number(record, "tool_declared_timeout_ms"),
            tool_started_at=_time(record, "tool_started_at"),
            updated_at=_time(record, "updated_at"),
        )
    except _BadValueError:
        return None


def shown(value: object) -> str:
    """Bytes from the file as text for names and messages."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _text(record: Record, column: str, limit: int) -> str | None:
    """Text of a column. The connection gives text and blobs alike as bytes."""
    value = record.get(column)
    if value is None:
        return None
    if not isinstance(value, bytes) or len(value) > limit:
        raise _BadValueError
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _BadValueError from error


def _content(record: Record) -> str:
    """Empty for one that is too long: its message must not vanish without a word."""
    value = record.get("content")
    if isinstance(value, bytes) and len(value) > MAX_OUTBOUND_BYTES:
        return ""
    return _needed(record, "content", MAX_OUTBOUND_BYTES)


def _needed(record: Record, column: str, limit: int) -> str:
    text = _text(record, column, limit)
    if not text:
        raise _BadValueError
    return text


def _number(record: Record, column: str) -> int | None:
    value = record.get(column)
    if value is None:
        return None
    if not isinstance(value, int) or not 0 <= value <= MAX_SEQ:
        raise _BadValueError
    return value


def _seq(record: Record) -> int:
    seq = _number(record, "seq")
    if not seq:
        raise _BadValueError
    return seq


def _time(record: Record, column: str) -> datetime | None:
    """Unreadable times are None: the host decides by its own clock anyway."""
    value = record.get(column)
    return parse_text(shown(value)) if isinstance(value, bytes) else None
