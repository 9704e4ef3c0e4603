"""Turns a batch into the text the model reads. Pure.

Element and attribute names are facts that the agents' instructions rely on (R-106 to R-123).
Every word from outside is escaped, so that nobody can write an element of ours: neither a sender
nor the output of a script or a webhook. Parts keep the order of the rows; neighbouring chat
messages form one block (R-108).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from itertools import groupby

from contract.address import Address
from contract.content import (
    Attachment,
    ChatIn,
    MessageEdited,
    ReactionIn,
    TaskIn,
    WebhookIn,
)
from contract.jsontext import dump
from runner.incoming import Incoming
from runner.providers.base import Prompt

MAX_WORDS = 256 * 1024
"""Of one message; more is cut, and the model is told."""
MAX_PAYLOAD = 50_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}
_LINE_BREAKS = str.maketrans({"\n": " ", "\t": " "})


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """``names`` maps an origin without its thread to the destination's name (R-121)."""

    zone_name: str
    zone: tzinfo = UTC
    omitted: int = 0
    names: Mapping[Address, str] = field(default_factory=dict)
    files_dir: str = "/session/in"


def build_prompt(items: Iterable[Incoming], facts: PromptFacts) -> Prompt:
    """The formatted text, and the bare words of the rows that woke the agent."""
    rows = tuple(items)
    lines = [f'<context timezone="{attribute(facts.zone_name)}" />']
    if facts.omitted:
        lines.append(f'<omitted count="{facts.omitted}" />')
    parts: list[str] = []
    for is_block, group in groupby(rows, key=_is_message):
        if is_block:
            parts.append(_block([_chat(item, facts) for item in group]))
        else:
            parts += [_other(item, facts) for item in group]
    words = "\n".join(item.text for item in rows if item.row.trigger and item.text)
    return Prompt(text="\n".join([*lines, "\n\n".join(parts)]), words=words)


def escape(text: str) -> str:
    """For text between tags."""
    return text.translate(_CONTROLS).translate(_ESCAPES)


def attribute(text: str) -> str:
    """For attribute values: additionally without line breaks."""
    return escape(text).translate(_LINE_BREAKS)


def _is_message(item: Incoming) -> bool:
    return item.is_chat and isinstance(item.content, ChatIn)


def _block(elements: list[str]) -> str:
    if len(elements) == 1:
        return elements[0]
    return "\n".join(["<messages>", *elements, "</messages>"])


def _chat(item: Incoming, facts: PromptFacts) -> str:
    chat = item.content
    assert isinstance(chat, ChatIn)
    attributes = [("id", str(item.row.seq) if item.row.seq else None)]
    attributes += _origin(item, facts)
    attributes.append(("sender", _sender(chat)))
    attributes.append(("time", _time(item, facts)))
    reply = chat.reply_to
    quote = ""
    if reply is not None:
        attributes.append(("reply_to", None if reply.id is None else str(reply.id)))
        if reply.sender and reply.text:
            quote = (
                f'\n  <quoted_message from="{attribute(reply.sender)}">'
                f"{escape(_cut(reply.text))}</quoted_message>\n"
            )
    files = "".join(f"\n{_attachment(file, facts)}" for file in chat.attachments)
    return f"<message{_attributes(attributes)}>{quote}{escape(_cut(chat.text))}{files}</message>"


def _other(item: Incoming, facts: PromptFacts) -> str:
    head = [*_origin(item, facts)]
    match item.content:
        case TaskIn() as task:
            head.append(("time", _time(item, facts)))
            return _element("task", head, _task_body(task))
        case WebhookIn(source=source, event=event, payload=payload):
            head += [("source", source or "unknown"), ("event", event or "unknown")]
            body = item.content.plain() if payload is None else payload
            return _element("webhook", head, _pretty(body))
        case MessageEdited(message_id=changed, text=text, sender=sender):
            head += [("message", changed), ("sender", sender or "Unknown")]
            return _element("message_edit", head, escape(_cut(text)))
        case ReactionIn(message_id=to, emoji=emoji, removed=removed, sender=sender):
            head = [("to", to), ("sender", sender or "Unknown"), ("emoji", emoji)]
            head.append(("removed", "true" if removed else None))
            return f"<reaction{_attributes(head)} />"
        case content:
            head = [("kind", item.row.kind), *head, ("time", _time(item, facts))]
            return _element("event", head, _pretty(content.plain()))


def _task_body(task: TaskIn) -> str:
    instructions = f"Instructions:\n{escape(_cut(task.prompt))}"
    if "scriptOutput" not in task.extra:
        return instructions
    return f"Script output:\n{_pretty(task.extra['scriptOutput'])}\n\n{instructions}"


def _origin(item: Incoming, facts: PromptFacts) -> list[tuple[str, str | None]]:
    address = item.row.address
    if address.channel_type is None and address.platform_id is None:
        return []
    name = facts.names.get(Address(address.channel_type, address.platform_id))
    unknown = f"unknown:{address.channel_type or ''}:{address.platform_id or ''}"
    return [("from", name or unknown)]


def _sender(chat: ChatIn) -> str:
    author = chat.author
    named = (author.full_name, author.user_name) if author is not None else ()
    return next((name for name in (chat.sender, *named) if name), "Unknown")


def _time(item: Incoming, facts: PromptFacts) -> str | None:
    """``Feb 4, 2026, 1:30 PM`` in the zone of the installation, whatever the locale (R-125)."""
    if item.row.timestamp is None:
        return None
    t = item.row.timestamp.astimezone(facts.zone)
    hour = t.hour % 12 or 12
    half = "AM" if t.hour < 12 else "PM"
    return f"{_MONTHS[t.month - 1]} {t.day}, {t.year}, {hour}:{t.minute:02d} {half}"


def _attachment(file: Attachment, facts: PromptFacts) -> str:
    kind = attribute(file.type or "file")
    name = attribute(file.name or file.filename or "attachment")
    if file.local_path:
        return f"[{kind}: {name} — saved to {facts.files_dir}/{attribute(file.local_path)}]"
    if file.url:
        return f"[{kind}: {name} ({attribute(file.url)})]"
    return f"[{kind}: {name}]"


def _element(tag: str, attributes: list[tuple[str, str | None]], body: str) -> str:
    return f"<{tag}{_attributes(attributes)}>{body}</{tag}>"


def _attributes(pairs: Iterable[tuple[str, str | None]]) -> str:
    return "".join(f' {key}="{attribute(value)}"' for key, value in pairs if value is not None)


def _pretty(value: object) -> str:
    return escape(_cut(_indented(value), MAX_PAYLOAD))


def _indented(value: object) -> str:
    text = dump(value)  # refuses what is no JSON and repairs what cannot be stored
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


def _cut(text: str, limit: int = MAX_WORDS) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {len(text) - limit} more characters]"
