"""Values of ``inbound.db``: what goes in, what comes out, and their fixed sets of words."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.address import NOWHERE, Address


class MessageKind(StrEnum):
    """Kinds that exist in both directions; an unknown one is kept as plain text."""

    CHAT = "chat"
    CHAT_SDK = "chat-sdk"
    TASK = "task"
    WEBHOOK = "webhook"
    SYSTEM = "system"


class InboundStatus(StrEnum):
    """``processing`` never appears here: claims live in ``outbound.db``."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    PAUSED = "paused"


class AckStatus(StrEnum):
    """State of a claim in ``processing_ack``."""

    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class DeliveredStatus(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A row to insert. ``content`` is compact JSON text; ``series_id`` None means the id."""

    id: str
    kind: str
    timestamp: datetime
    content: str
    address: Address = NOWHERE
    trigger: bool = True
    process_after: datetime | None = None
    recurrence: str | None = None
    series_id: str | None = None
    on_wake: bool = False
    source_session_id: str | None = None
    taint: str | None = None
    chain_id: str | None = None
    hop: int = 0
    tz: str | None = None
    catch_up: str | None = None
    reply_hint: str | None = None
    platform_message_id: str | None = None
    event_key: str | None = None


@dataclass(frozen=True, slots=True)
class InboundRow:
    """A row as stored. Times are None where the text is no time; ``seq`` 0 means none."""

    id: str
    seq: int
    kind: str
    timestamp: datetime | None
    status: InboundStatus
    content: str
    address: Address
    trigger: bool
    process_after: datetime | None
    recurrence: str | None
    series_id: str
    tries: int
    on_wake: bool
    source_session_id: str | None
    taint: str | None
    chain_id: str | None
    hop: int
    tz: str | None
    catch_up: str | None
    reply_hint: str | None
    platform_message_id: str | None
    event_key: str | None


@dataclass(frozen=True, slots=True)
class DeliveredMark:
    """What the agent may know about one of its messages: the platform's id, or that it failed."""

    message_out_id: str
    platform_message_id: str | None
    status: DeliveredStatus
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class PendingSummary:
    """What waits for the agent: rows that wake it and are due, the next moment one becomes due.

    ``next_due_at`` is the earliest time *after* now and None when nothing waits for a time;
    ``total_pending`` counts every pending row, also context and system rows.
    """

    due_wake: int
    next_due_at: datetime | None
    total_pending: int
