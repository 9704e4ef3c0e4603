"""An event on its way to a decision, and the text form in which it can wait for one.

Pure. The text is the one of H-313, which approvals keep as ``original_message`` and which the
earlier program wrote too, with one key of ours beside it that holds the event as it came. Text
without that key is read as well, so that what waited under the earlier program can go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.codec import FrameError, decode, encode
from nanoclaw.errors import NanoclawError
from nanoclaw.events import Envelope, Inbound, InboundEvent, Quoted, ReplyTarget
from nanoclaw.permissions.identity import user_id_of
from nanoclaw.routing.content import render_content

OPERATOR_KINDS = frozenset({"cli"})
"""Channels whose socket only the operator can hold (C-17, H-269)."""
MAX_STORED_BYTES = 16 * 1024 * 1024
_OURS = "nanoclaw"


class UnreadableEventError(NanoclawError):
    """Stored text that is no event; whoever waits for it waits in vain."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as a worker handed it over.

    ``kind`` is the channel's, ``instance`` the account's name. ``only_for``: a released event
    concerns these agents only, the others were judged when it came.
    """

    instance: str
    supports_threads: bool
    event: InboundEvent
    kind: str = ""
    only_for: frozenset[str] | None = None

    @property
    def channel_kind(self) -> str:
        return self.kind or self.instance

    @property
    def channel_type(self) -> str:
        """Where it was said; an operator may name another chat (H-269)."""
        return self.event.channel_type or self.instance

    @property
    def thread_id(self) -> str | None:
        """A channel that is not threaded has no threads (H-71 step 1, C-8)."""
        return (self.event.thread_id or None) if self.supports_threads else None

    @property
    def user_id(self) -> str:
        return user_id_of(self.channel_kind, self.event.sender_id)

    @property
    def is_operator(self) -> bool:
        return self.channel_kind in OPERATOR_KINDS


def dump_arrival(arrival: Arrival, agents: frozenset[str] | None = None) -> str:
    """``agents``: those for whom the event waits; None for whoever will be wired."""
    event = arrival.event
    message: dict[str, object] = {
        "id": event.message_id,
        "kind": event.kind,
        "content": render_content(event, arrival.user_id),
        "timestamp": event.timestamp,
    }
    for key, value in (("isMention", event.is_mention), ("isGroup", event.is_group)):
        if value is not None:
            message[key] = value
    stored: dict[str, object] = {
        "channelType": arrival.channel_type,
        "platformId": event.platform_id,
        "threadId": arrival.thread_id,
        "message": message,
    }
    if event.answer_to is not None:
        target = event.answer_to
        stored["replyTo"] = {
            "channelType": target.channel_type, "platformId": target.platform_id,
            "threadId": target.thread_id,
        }  # fmt: skip
    stored[_OURS] = {
        "frame": encode(Envelope(Inbound(event))).decode("utf-8", "replace"),
        "kind": arrival.kind,
        "threads": arrival.supports_threads,
        "agents": None if agents is None else sorted(agents),
    }
    return dump(stored)


def parse_arrival(text: str, instance: str, event_key: str) -> Arrival:
    """Raises UnreadableEventError."""
    try:
        stored = parse_object(text, max_bytes=MAX_STORED_BYTES)
        ours = stored.get(_OURS)
        if isinstance(ours, dict):
            return _ours(ours, instance)
        return _foreign(stored, instance, event_key)
    except (BadContent, FrameError) as error:
        raise UnreadableEventError(f"the stored event is not readable: {error}") from error


def _ours(ours: Mapping[str, object], instance: str) -> Arrival:
    frame, kind, agents = ours.get("frame"), ours.get("kind"), ours.get("agents")
    body = decode(frame.encode()).body if isinstance(frame, str) else None
    if not isinstance(body, Inbound):
        raise BadContent("it holds no event")
    only_for = frozenset(map(str, agents)) if isinstance(agents, list) else None
    return Arrival(
        instance,
        ours.get("threads") is True,
        body.event,
        kind if isinstance(kind, str) else "",
        only_for,
    )


def _foreign(stored: Mapping[str, object], instance: str, event_key: str) -> Arrival:
    """As the earlier program wrote it; a sender is known by an id only, never by a name (W-5)."""
    message = stored.get("message")
    if not isinstance(message, dict):
        raise BadContent("it holds no message")
    content = _content(message.get("content"))
    thread_id = _text(stored, "threadId")
    mention, group = message.get("isMention"), message.get("isGroup")
    event = InboundEvent(
        event_key=event_key,
        message_id=_text(message, "id") or event_key,
        platform_id=_text(stored, "platformId") or "",
        sender_id=_text(content, "senderId") or _text(_object(content, "author"), "userId") or "",
        timestamp=_text(message, "timestamp") or "",
        thread_id=thread_id,
        kind=_text(message, "kind") or "chat",
        is_mention=mention if isinstance(mention, bool) else None,
        is_group=group if isinstance(group, bool) else None,
        sender_name=_text(content, "senderName") or _text(content, "sender"),
        text=_text(content, "text") or "",
        reply_to=_quoted(_object(content, "replyTo")),
        extra_json=dump(content),
        answer_to=_target(_object(stored, "replyTo")),
    )
    return Arrival(instance, thread_id is not None, event)


def _content(text: object) -> dict[str, object]:
    try:
        return parse_object(text, max_bytes=MAX_STORED_BYTES)
    except BadContent:
        return {"text": text if isinstance(text, str) else ""}


def _quoted(value: Mapping[str, object]) -> Quoted | None:
    text, sender = _text(value, "text"), _text(value, "sender")
    return None if text is None else Quoted(_text(value, "id") or "", sender or "", text)


def _target(value: Mapping[str, object]) -> ReplyTarget | None:
    channel, chat = _text(value, "channelType"), _text(value, "platformId")
    if channel is None or chat is None:
        return None
    return ReplyTarget(channel, chat, _text(value, "threadId"))


def _object(value: Mapping[str, object], key: str) -> Mapping[str, object]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _text(value: Mapping[str, object], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None
