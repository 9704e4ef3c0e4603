"""One piece of an outgoing message: rendered, within the platform's limits, with its own key.

Made by ``plan``, kept in the journal, handed to the adapter. As JSON it is a journal value, so
fields are only ever added.
"""

from dataclasses import dataclass
from enum import StrEnum

from contract.shape import Shape


class Operation(StrEnum):
    SEND = "send"
    EDIT = "edit"
    REACT = "react"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile(Shape):
    """A file in the channel's outgoing spool; size and hash are checked before use (C-18)."""

    name: str
    spool: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Shape):
    """A question whose options may be pressed or typed; the value of an option is its position."""

    question_id: str
    title: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Shape):
    """What one platform call sends."""

    key: str
    """The platform's idempotency key and, where the platform has none, ours (C-34)."""
    text: str = ""
    unformatted: bool = False
    """The platform refused our markup; send the text as it is."""
    files: tuple[PartFile, ...] = ()
    question: Question | None = None
    operation: Operation = Operation.SEND
    target_id: str | None = None
    """The message that is edited or reacted to."""
    emoji: str | None = None
    reply_to: str | None = None
    """Platform id of the message that is answered."""
    reply_hint: str | None = None
    completes: bool = False
    """Last part of the last message of an answer."""
    sent_at: str = ""
