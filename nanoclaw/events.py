"""Frames that host processes and channel workers exchange, and the values inside them.

Encoded by ``nanoclaw.link``. Every frame is a frozen dataclass of plain values; unknown fields
are ignored on reading, so that two versions can meet during an update. Names and meanings follow
the channel contract (C-19, C-20). Adding a frame: write the class and list it in FRAMES.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from nanoclaw.capabilities import Capabilities, UncertainPolicy

FRAME_VERSION = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of an inbound message; its bytes lie in the channel's spool (C-18)."""

    kind: str
    name: str | None = None
    mime_type: str | None = None
    size: int | None = None
    spool: str | None = None
    sha256: str | None = None
    url: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    id: str
    sender: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    """Where the answer goes instead of the source; operator transports only (H-69, C-17)."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """One message or event from a platform (C section 1.4). ``extra_json`` is compact JSON."""

    event_key: str
    message_id: str
    platform_id: str
    sender_id: str
    timestamp: str
    thread_id: str | None = None
    reply_hint: str | None = None
    kind: str = "chat"
    is_mention: bool | None = None
    is_group: bool | None = None
    sender_name: str | None = None
    sender_is_bot: bool = False
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    reply_to: Quoted | None = None
    edited: bool = False
    extra_json: str | None = None
    channel_type: str | None = None
    answer_to: ReplyTarget | None = None
    reaction: str | None = None
    """Emoji with which somebody reacted to ``message_id``; such an event has no text (C-68)."""
    reaction_removed: bool = False


class Outcome(StrEnum):
    """What became of an inbound event once the router had committed it."""

    ROUTED = "routed"
    DUPLICATE = "duplicate"
    HELD = "held"
    IGNORED = "ignored"
    REJECTED = "rejected"


class FailureClass(StrEnum):
    """Why a platform call failed; delivery and supervisor look at nothing else (C section 1.7)."""

    OFFLINE = "offline"
    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    UNCERTAIN = "uncertain"
    PERMANENT = "permanent"
    BAD_FORMAT = "bad_format"
    TOO_LARGE = "too_large"
    AUTH = "auth"
    CONFLICT = "conflict"


class ActionOutcome(StrEnum):
    ACCEPTED = "accepted"
    ALREADY_ANSWERED = "already_answered"
    EXPIRED = "expired"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A file handed over by name; the receiver checks size and hash before use (C-18)."""

    name: str
    spool: str
    size: int
    sha256: str


# --- frames ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of each side of a connection."""

    name: str
    kind: str
    pid: int
    frame_version: int = FRAME_VERSION
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True)
class Ok:
    pass


@dataclass(frozen=True, slots=True)
class Unsupported:
    frame: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was understood and not carried out; ``reason`` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: int


@dataclass(frozen=True, slots=True)
class Inbound:
    event: InboundEvent


@dataclass(frozen=True, slots=True)
class Committed:
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """A pressed button (C-15)."""

    action_key: str
    question_id: str
    value: str
    user_id: str
    platform_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class ActionResult:
    outcome: ActionOutcome
    title: str = ""
    chosen_label: str = ""
    chosen_by: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    platform_id: str
    name: str | None = None
    is_group: bool | None = None
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryUpdate:
    platform_message_id: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    """One outgoing message; ``content`` is the JSON text of the outbound row.

    ``reply_to_message_id`` is the platform's id of the message that is answered, ``completes``
    says that nothing more will come for it. ``uncertain_policy`` stands for the channel's own.
    """

    delivery_id: str
    attempt: int
    platform_id: str
    kind: str
    content: str
    thread_id: str | None = None
    reply_hint: str | None = None
    reply_to_message_id: str | None = None
    completes: bool = False
    files: tuple[SpoolFile, ...] = ()
    sent_at: str = ""
    uncertain_policy: UncertainPolicy | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    ids: tuple[str, ...] = ()
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryFailed:
    failure: FailureClass
    detail: str
    retry_after_ms: int | None = None
    parts_done: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    delivery_id: str


class DeliveryKnowledge(StrEnum):
    UNKNOWN = "unknown"
    PLANNED = "planned"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryKnown:
    state: DeliveryKnowledge
    ids: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SetTyping:
    platform_id: str
    thread_id: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class Subscribe:
    platform_id: str
    thread_id: str


@dataclass(frozen=True, slots=True)
class OpenDm:
    handle: str


@dataclass(frozen=True, slots=True)
class ResolveName:
    platform_id: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """Answer to OpenDm (the chat's platform id) and ResolveName (its name)."""

    value: str | None = None


@dataclass(frozen=True, slots=True)
class SyncConversations:
    pass


@dataclass(frozen=True, slots=True)
class Conversation:
    platform_id: str
    name: str
    is_group: bool


@dataclass(frozen=True, slots=True)
class Conversations:
    items: tuple[Conversation, ...] = ()


@dataclass(frozen=True, slots=True)
class Wake:
    """Router or delivery to sweep: these sessions have work that is due."""

    session_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopContainers:
    """Admin or delivery to sweep: stop the containers of these sessions, say why.

    ``leases``, where given, are those of the containers meant: newer ones of the same sessions
    stay.
    """

    session_ids: tuple[str, ...]
    reason: str
    leases: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildImage:
    """Delivery to sweep: an image of this group with these packages, by content; idempotent."""

    agent_group_id: str
    apt: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageBuilt:
    """Answer to BuildImage. ``tag`` is set when it is there; ``detail`` says why it is not.

    ``passing``: the same request may work later.
    """

    tag: str | None = None
    detail: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class ResolveCard:
    """Delivery to worker: show a card as decided, without buttons (C-66)."""

    delivery_id: str
    platform_id: str
    message_id: str
    text: str
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class DoorsChanged:
    """Sweep to vault: the table of doors is different; a request is answered when they are open."""


Frame = (
    Hello | Ok | Unsupported | Refused | Cancel | Inbound | Committed | Action | ActionResult
    | Metadata | DeliveryUpdate | Deliver | Delivered | DeliveryFailed | DeliveryStatus
    | DeliveryKnown | SetTyping | Subscribe | OpenDm | ResolveName | Resolved | SyncConversations
    | Conversations | Wake | StopContainers | BuildImage | ImageBuilt
    | ResolveCard | DoorsChanged
)  # fmt: skip

FRAMES: tuple[type[Frame], ...] = (
    Hello, Ok, Unsupported, Refused, Cancel, Inbound, Committed, Action, ActionResult, Metadata,
    DeliveryUpdate, Deliver, Delivered, DeliveryFailed, DeliveryStatus, DeliveryKnown, SetTyping,
    Subscribe, OpenDm, ResolveName, Resolved, SyncConversations, Conversations, Wake,
    StopContainers, BuildImage, ImageBuilt, ResolveCard, DoorsChanged,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Envelope:
    """One frame on the wire: a request (``id``), an answer (``re``) or a notice (neither)."""

    body: Frame
    id: int | None = None
    re: int | None = None


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Local answer to a request whose connection is not there or went away; never sent."""

    detail: str = field(default="not connected")


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """Local answer to a request that got none in time: the outcome is unknown; never sent."""

    seconds: float
