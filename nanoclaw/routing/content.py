"""The JSON text of an inbound row, with the keys of C-9, R-116 and H 10.1.

Pure; compact, because older readers search rows textually. Platform extras are stored beside our
own keys and can never replace them: who speaks and what was said come from the event's own
fields.
"""

from collections.abc import Sequence

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.events import InboundEvent

MAX_QUOTE = 2000
MAX_EXTRA_BYTES = 512 * 1024
MAX_EXTRA_DEPTH = 32
OWN_KEYS = frozenset(
    {
        "text", "sender", "senderId", "senderName", "isFromMe", "attachments", "files", "replyTo",
        "event", "messageId", "emoji", "removed",
    }
)  # fmt: skip
_AUTHOR = "author"
"""Names a sender for old readers, so it is taken from the chat bridge's own kind only."""
BRIDGE_KIND = "chat-sdk"
WEBHOOK_KIND = "webhook"


def render_content(
    event: InboundEvent, user_id: str, attachments: Sequence[dict[str, object]] = ()
) -> str:
    """``attachments`` are the entries that ``routing.incoming_files`` has planned."""
    if event.reaction:
        return dump(_reaction(event, user_id))
    if event.edited:
        return dump(_edit(event, user_id))
    content = {**_message(event, user_id), **_safe_extra(event)}
    if attachments:
        content["attachments"] = list(attachments)
    return dump(content)


def extra_of(event: InboundEvent) -> dict[str, object]:
    """The platform's extras; what cannot be read is left out, the message is not lost for it."""
    if event.extra_json is None:
        return {}
    try:
        return parse_object(event.extra_json, max_bytes=MAX_EXTRA_BYTES, max_depth=MAX_EXTRA_DEPTH)
    except BadContent:
        return {}


def _safe_extra(event: InboundEvent) -> dict[str, object]:
    """A webhook's ``event`` names what happened; in a chat that key would make another shape."""
    reserved = OWN_KEYS if event.kind == BRIDGE_KIND else OWN_KEYS | {_AUTHOR}
    if event.kind == WEBHOOK_KIND:
        reserved = reserved - {"event"}
    return {key: value for key, value in extra_of(event).items() if key not in reserved}


def _message(event: InboundEvent, user_id: str) -> dict[str, object]:
    content: dict[str, object] = {"text": event.text, **_sender(event, user_id)}
    if event.sender_name:
        content["senderName"] = event.sender_name
    if event.reply_to is not None:
        quoted = event.reply_to
        content["replyTo"] = {
            "id": quoted.id, "sender": quoted.sender, "text": quoted.text[:MAX_QUOTE],
        }  # fmt: skip
    return content


def _edit(event: InboundEvent, user_id: str) -> dict[str, object]:
    return {
        "event": "edit", "messageId": event.message_id, "text": event.text,
        **_sender(event, user_id),
    }  # fmt: skip


def _reaction(event: InboundEvent, user_id: str) -> dict[str, object]:
    content: dict[str, object] = {
        "event": "reaction", "messageId": event.message_id, "emoji": event.reaction,
        **_sender(event, user_id),
    }  # fmt: skip
    if event.reaction_removed:
        content["removed"] = True
    return content


def _sender(event: InboundEvent, user_id: str) -> dict[str, object]:
    return {"sender": event.sender_name or event.sender_id, "senderId": user_id}
