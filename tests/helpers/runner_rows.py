"""Builders for inbound rows as the runner sees them: valid, and each test sets what it is about."""

from datetime import UTC, datetime

from contract.address import Address
from contract.inbound.row import InboundRow, InboundStatus
from contract.jsontext import dump
from runner.incoming import Incoming, read_incoming

NOON = datetime(2026, 3, 9, 12, 5, tzinfo=UTC)
FAMILY = Address("telegram", "77", None)


def make_row(
    message_id: str = "m-1",
    content: object = "hi",
    *,
    seq: int = 2,
    kind: str = "chat",
    address: Address = FAMILY,
    trigger: bool = True,
    taint: str | None = None,
    chain_id: str | None = None,
    hop: int = 0,
) -> InboundRow:
    """``content`` is a JSON value, or the words of a chat message."""
    value = {"text": content, "sender": "Ann"} if isinstance(content, str) else content
    return InboundRow(
        id=message_id,
        seq=seq,
        kind=kind,
        timestamp=NOON,
        status=InboundStatus.PENDING,
        content=dump(value),
        address=address,
        trigger=trigger,
        process_after=None,
        recurrence=None,
        series_id=message_id,
        tries=0,
        on_wake=False,
        source_session_id=None,
        taint=taint,
        chain_id=chain_id,
        hop=hop,
        tz=None,
        catch_up=None,
        reply_hint=None,
        platform_message_id=None,
        event_key=None,
    )


def incoming(*rows: InboundRow) -> tuple[Incoming, ...]:
    return read_incoming(rows)


def chat(*texts: str, first_seq: int = 2) -> tuple[Incoming, ...]:
    """Chat messages m-1, m-2, ... of one person."""
    return incoming(
        *(make_row(f"m-{n}", text, seq=first_seq + 2 * n - 2) for n, text in enumerate(texts, 1))
    )
