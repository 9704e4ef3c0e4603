"""Entities of the central database and their fixed sets of words.

Frozen values: what the repositories of ``nanoclaw.db`` take and return, and what decisions are made
of. Imports next to nothing, so that every package may use it. Times are aware UTC; a column
that the earlier program may have left empty or that holds an unknown word is None, never an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from contract.config import AdditionalMount, McpServer
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.events import SpoolFile


class UnknownSenderPolicy(StrEnum):
    STRICT = "strict"
    REQUEST_APPROVAL = "request_approval"
    PUBLIC = "public"


class EngageMode(StrEnum):
    PATTERN = "pattern"
    MENTION = "mention"
    MENTION_STICKY = "mention-sticky"
    PATTERN_OR_MENTION = "pattern-or-mention"


class SenderScope(StrEnum):
    ALL = "all"
    KNOWN = "known"


class IgnoredMessagePolicy(StrEnum):
    DROP = "drop"
    ACCUMULATE = "accumulate"


class SessionMode(StrEnum):
    """``task`` belongs to sessions of isolated tasks only and never to a wiring."""

    SHARED = "shared"
    PER_THREAD = "per-thread"
    AGENT_SHARED = "agent-shared"
    TASK = "task"


class SessionStatus(StrEnum):
    ACTIVE = "active"
    CLOSED = "closed"


class ContainerStatus(StrEnum):
    """``idle`` stands in old databases only; we never write it."""

    RUNNING = "running"
    IDLE = "idle"
    STOPPED = "stopped"


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"


class CliScope(StrEnum):
    """How much of the administration an agent may see."""

    DISABLED = "disabled"
    GROUP = "group"
    GLOBAL = "global"


class EgressMode(StrEnum):
    """What an agent may reach through the vault."""

    NONE = "none"
    ALLOWLIST = "allowlist"
    OPEN = "open"


class TargetType(StrEnum):
    """What an agent's destination is."""

    CHANNEL = "channel"
    AGENT = "agent"


class EventState(StrEnum):
    """``committed``: rows for session files are still to be written."""

    COMMITTED = "committed"
    ROUTED = "routed"


class DeliverySource(StrEnum):
    """Who said it: an agent, or the host itself (denials, cards, notices)."""

    AGENT = "agent"
    HOST = "host"


class DeliveryState(StrEnum):
    HELD = "held"  # waits for a person to allow it
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


class FilesState(StrEnum):
    NONE = "none"
    WANTED = "wanted"  # still to be copied out of the agent's folder
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class AgentGroup:
    """One assistant identity; ``folder`` is its directory under ``groups/``."""

    id: str
    name: str
    folder: str
    created_at: datetime
    agent_provider: str | None = None


@dataclass(frozen=True, slots=True)
class MessagingGroup:
    """One chat on one platform. ``denied_at``: the owner refused to register it."""

    id: str
    channel_type: str
    platform_id: str
    created_at: datetime
    name: str | None = None
    is_group: bool = False
    unknown_sender_policy: UnknownSenderPolicy = UnknownSenderPolicy.STRICT
    denied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """An agent group listens in a chat. None in the last four: H 1.2 says what it stands for."""

    id: str
    messaging_group_id: str
    agent_group_id: str
    created_at: datetime
    session_mode: SessionMode | None = SessionMode.SHARED
    priority: int = 0
    engage_mode: EngageMode | None = EngageMode.MENTION
    engage_pattern: str | None = None
    sender_scope: SenderScope | None = SenderScope.ALL
    ignored_message_policy: IgnoredMessagePolicy | None = IgnoredMessagePolicy.DROP
    sticky_seconds: int | None = None
    """How long mention-sticky lasts; None: the installation's default."""
    uncertain_policy: UncertainPolicy | None = None
    """Instead of the channel's own policy for messages whose fate is unknown."""
    bot_messages: bool = False
    """Other bots are heard; without it only people are."""
    edits: bool = False
    reactions: bool = False


@dataclass(frozen=True, slots=True)
class WiredChat:
    """A chat with its wirings, highest priority first."""

    group: MessagingGroup
    wirings: tuple[Wiring, ...]


@dataclass(frozen=True, slots=True)
class User:
    """One identity on one platform, id ``<channel>:<handle>``."""

    id: str
    kind: str
    created_at: datetime
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """``agent_group_id`` None: everywhere. An owner is always that."""

    user_id: str
    role: Role
    granted_at: datetime
    agent_group_id: str | None = None
    granted_by: str | None = None


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """A permitted target of an agent; ``target_id`` is a chat's or an agent group's id."""

    agent_group_id: str
    local_name: str
    target_type: TargetType
    target_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """How the containers of an agent group are made. None: the installation's default.

    ``skills`` None means all. Lists that cannot be read are empty.
    """

    agent_group_id: str
    updated_at: datetime
    provider: str | None = None
    model: str | None = None
    effort: str | None = None
    image_tag: str | None = None
    assistant_name: str | None = None
    max_messages_per_prompt: int | None = None
    cli_scope: CliScope = CliScope.GROUP
    skills: tuple[str, ...] | None = None
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    packages_apt: tuple[str, ...] = ()
    packages_npm: tuple[str, ...] = ()
    packages_pip: tuple[str, ...] = ()
    additional_mounts: tuple[AdditionalMount, ...] = ()
    memory_mb: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None
    disk_mb: int | None = None
    max_containers: int | None = None
    """How many of its sessions may run at once."""
    max_turn_seconds: int | None = None
    idle_exit_seconds: int | None = None
    close_after_days: int | None = None
    egress_mode: EgressMode | None = None
    egress_allow: tuple[str, ...] = ()
    credential: str | None = None
    endpoint: str | None = None
    allowed_models: tuple[str, ...] = ()
    taint_guard: bool = True
    script: str | None = None
    """Answers of the ``scripted`` provider."""
    agents_quota: int = 0
    """How many agents it may create without asking."""
    fallback_model: str | None = None
    max_cost_per_turn_usd: float | None = None
    max_cost_per_day_usd: float | None = None
    native_attachments: bool = True
    compat: Mapping[str, object] = field(default_factory=dict)
    prices: Mapping[str, object] = field(default_factory=dict)
    web_tools: str | None = None
    tool_timeouts: Mapping[str, float] = field(default_factory=dict)
    disabled_tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation of one agent group, with everything the sweep needs to know of it."""

    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    agent_provider: str | None
    status: SessionStatus
    container_status: ContainerStatus
    last_active: datetime | None
    created_at: datetime
    session_key: str | None
    mode: SessionMode | None
    lease_owner: str | None
    lease_token: int
    lease_expires_at: datetime | None
    next_due_at: datetime | None
    due_epoch: int
    out_dirty: bool
    out_seq: int
    container_id: str | None
    container_started_at: datetime | None
    runtime_version: str | None
    quarantined_at: datetime | None
    quarantine_reason: str | None
    deaths: int
    container_retry_at: datetime | None
    container_failures: int
    container_error: str | None

    @property
    def is_running(self) -> bool:
        return self.container_status is not ContainerStatus.STOPPED


@dataclass(frozen=True, slots=True)
class NewSession:
    """``session_key`` is unique among active sessions; None for one that is never looked up."""

    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    mode: SessionMode
    session_key: str | None
    created_at: datetime
    agent_provider: str | None = None


@dataclass(frozen=True, slots=True)
class ContainerStart:
    """What is known once a container of a session runs."""

    container_id: str
    started_at: datetime
    runtime_version: str


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message to go out. ``message_out_id`` is the agent's row id, or the host's own for it.

    ``refers_to``: the agent's own message that it changes; ``waits_for``: the request that somebody
    has to allow; ``failure``: a ``deliveries.Failure``; not ``told``: its end is still to be told.
    """

    delivery_id: str
    message_out_id: str
    instance: str
    platform_id: str
    kind: str
    content: str
    created_at: datetime
    next_attempt_at: datetime
    expires_at: datetime
    session_id: str | None = None
    seq: int = 0
    source: DeliverySource = DeliverySource.AGENT
    thread_id: str | None = None
    in_reply_to: str | None = None
    reply_hint: str | None = None
    reply_to_message_id: str | None = None
    completes: bool = False
    state: DeliveryState = DeliveryState.QUEUED
    last_error: str | None = None
    files_state: FilesState = FilesState.NONE
    refers_to: str | None = None
    uncertain_policy: UncertainPolicy | None = None
    taint: str | None = None
    waits_for: str | None = None
    failure: str | None = None
    told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(NewDelivery):
    """A receipt: the message as it was queued, how far it got, and when it is tried next.

    ``row_number`` grows with every message; within one chat it is the order of sending.
    """

    row_number: int
    attempts: int
    part_index: int
    platform_message_ids: tuple[str, ...]
    projected: bool
    updated_at: datetime
    files: tuple[SpoolFile, ...] = ()
    files_problem: str | None = None
    joined_into: str | None = None


@dataclass(frozen=True, slots=True)
class SentReceipt:
    """The platform took a message; ids of its parts, first one first."""

    delivery_id: str
    platform_message_ids: tuple[str, ...]
