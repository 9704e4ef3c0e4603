"""The words of a message row, for lists and for the search index. Pure.

Only what people or agents said: names of files count, ids and addresses do not. What is no message
(answers to questions, administrative requests) has no words.
"""

from collections.abc import Iterable

from contract.content import (
    CardOut,
    ChatIn,
    ChatOut,
    EditOut,
    MessageEdited,
    QuestionCard,
    TaskIn,
    WebhookIn,
    parse_inbound,
    parse_outbound,
)
from contract.errors import BadContent
from contract.inbound.row import MessageKind
from contract.jsontext import dump

MAX_CHARACTERS = 64 * 1024
"""Of one message; what is behind it is not found."""


def text_of_row(kind: str, content: str) -> str:
    """Of a row that an agent was given; empty for what says nothing."""
    try:
        value = parse_inbound(kind, content)
    except BadContent:
        return ""
    match value:
        case ChatIn():
            files = [item.name or item.filename for item in value.attachments]
            return _joined([value.text, *files, *value.files])
        case MessageEdited():
            return _joined([value.text])
        case TaskIn():
            return _joined([value.prompt])
        case WebhookIn():
            payload = value.payload
            body = payload if isinstance(payload, str) else dump(payload) if payload else None
            return _joined([value.source, value.event, body])
        case _:
            return ""


def sender_of_row(kind: str, content: str) -> str | None:
    """Whose words they are, as the platform called them."""
    if kind == MessageKind.TASK:
        return None
    try:
        value = parse_inbound(kind, content)
    except BadContent:
        return None
    match value:
        case ChatIn():
            return value.sender or value.sender_name or value.sender_id
        case MessageEdited():
            return value.sender or value.sender_id
        case _:
            return None


def text_of_message(kind: str, content: str) -> str:
    """Of a message that goes out. Raises BadContent."""
    if kind == MessageKind.SYSTEM:
        return ""
    value = parse_outbound(kind, content)
    match value:
        case ChatOut():
            return _joined([value.text or value.markdown, *value.files])
        case EditOut():
            return _joined([value.text or value.markdown])
        case QuestionCard():
            return _joined([value.title, value.question, *(item.label for item in value.options)])
        case CardOut():
            return _joined([value.card.title, value.card.description, value.fallback_text])
        case _:
            return ""


def _joined(parts: Iterable[str | None]) -> str:
    text = "\n".join(part.strip() for part in parts if part and part.strip())
    return text[:MAX_CHARACTERS]
