"""Values of ``outbound.db``: what the runner writes and what the host gets to see."""

from dataclasses import dataclass
from datetime import datetime

from contract.address import NOWHERE, Address
from contract.inbound.row import AckStatus


@dataclass(frozen=True, slots=True)
class NewOutbound:
    """A row to write. ``content`` is compact JSON text."""

    id: str
    kind: str
    timestamp: datetime
    content: str
    address: Address = NOWHERE
    in_reply_to: str | None = None
    deliver_after: datetime | None = None
    taint: str | None = None
    chain_id: str | None = None
    hop: int = 0


@dataclass(frozen=True, slots=True)
class OutboundRow:
    """A row as read. ``deliver_after`` None also stands for a text that is no time: send now.

    In the host's hands an empty ``content`` stands for one that was too long to be taken.
    """

    id: str
    seq: int
    kind: str
    timestamp: datetime | None
    content: str
    address: Address
    in_reply_to: str | None
    deliver_after: datetime | None
    taint: str | None
    chain_id: str | None
    hop: int


@dataclass(frozen=True, slots=True)
class Ack:
    """A claim and its state. ``lease`` None: written by a runner without leases."""

    message_id: str
    status: AckStatus
    status_changed: datetime | None
    lease: int | None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ContainerState:
    """Which tool runs just now, and how long it said it may take (R-59)."""

    current_tool: str | None
    tool_declared_timeout_ms: int | None
    tool_started_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """One model call, for information only: the vault's table is what counts (R-318)."""

    at: datetime
    conversation: str
    turn: str
    kind: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    web_fetches: int = 0
    cost_usd: float | None = None
    duration_ms: int = 0
    stop_reason: str | None = None
    retries: int = 0
    inbound_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Sums over rows of the usage log. ``unpriced``: calls whose price nobody knew (R-320)."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    web_searches: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
