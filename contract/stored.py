"""JSON that the host stores outside message rows (H 10.3, 10.4).

Old databases contain these texts, written by the reference, and they must be replayable.
"""

from dataclasses import dataclass

from contract.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReplyTo(Shape):
    """Where the answer to a stored event goes instead of its source."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage(Shape):
    """``content`` is JSON *text*, not an object."""

    id: str
    kind: str
    content: str
    timestamp: str
    is_mention: bool | None = None
    is_group: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent(Shape):
    """An inbound event that waits for a decision (H-313)."""

    channel_type: str
    platform_id: str
    thread_id: str | None
    message: StoredMessage
    reply_to: StoredReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CliCommandFrame(Shape):
    id: str
    command: str
    args: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CliCommandPayload(Shape):
    """``pending_approvals.payload`` of an administrative command that waits (H-311)."""

    frame: CliCommandFrame
