"""Lines of terminal clients to events, and parts of answers to lines.

Pure: times and made-up ids come in as arguments. The name of the asking client travels in the
event's reply hint, so an answer finds its way back after any restart; where a host gives no hint
back, the id of the answered message carries the same two words.
"""

from dataclasses import dataclass

from nanoclaw.channels.cli.lines import FileRef, Place, Reply, Say
from nanoclaw.channels.part import Part
from nanoclaw.events import InboundEvent, ReplyTarget

LOCAL_CHAT = "local"
LOCAL_SENDER = "local"
SENDER_NAME = "cli"
OWN_PREFIX = "cli:"
_JOINT = "~"
"""Stands in no client's name."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked what is being answered; empty for output that nobody asked for."""

    client: str | None = None
    line_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """The client that says something, and the id of its line, given or made up."""

    client: str
    named: bool
    """The client chose its own name; its ids need to be unique among its own lines only."""
    line_id: str


def to_event(say: Say, sending: Sending, timestamp: str) -> InboundEvent:
    """H-268 and H-269. The terminal is a direct chat, and what is said in it always counts."""
    hint = f"{sending.client}{_JOINT}{sending.line_id}"
    key = hint if sending.named and say.id is not None else sending.line_id
    return InboundEvent(
        event_key=key,
        message_id=key,
        platform_id=LOCAL_CHAT if say.to is None else say.to.platform_id,
        thread_id=None if say.to is None else say.to.thread_id,
        channel_type=None if say.to is None else say.to.channel_type,
        answer_to=_answer_place(say.reply_to),
        sender_id=(say.sender_id or LOCAL_SENDER).removeprefix(OWN_PREFIX),
        sender_name=say.sender or SENDER_NAME,
        timestamp=timestamp,
        reply_hint=hint,
        is_mention=True,
        is_group=False if say.to is None else None,
        text=say.text,
    )


def asker_of(part: Part) -> Asker:
    """A hint without an answered message is only the newest one of its chat (C-8)."""
    if part.reply_to is None:
        return Asker()
    client, joint, line_id = (part.reply_hint or part.reply_to).partition(_JOINT)
    if not joint:
        return Asker(line_id=part.reply_to)
    return Asker(client, line_id)


def to_reply(part: Part, files: tuple[FileRef, ...], remarks: tuple[str, ...]) -> Reply:
    """``remarks`` are lines about files that could not be handed over."""
    return Reply(
        "\n".join(piece for piece in (part.text, *remarks) if piece),
        id=part.key,
        reply_to=asker_of(part).line_id,
        done=part.completes,
        files=files,
        at=part.sent_at or None,
    )


def _answer_place(place: Place | None) -> ReplyTarget | None:
    if place is None:
        return None
    return ReplyTarget(place.channel_type, place.platform_id, place.thread_id)
