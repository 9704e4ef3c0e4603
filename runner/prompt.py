"""Turns a batch into the text the model reads. Pure.

Element and attribute names are facts that the agents' instructions rely on (R-106 to R-123).
Every word from outside is escaped, so that nobody can write an element of ours: neither a sender
nor the output of a script or a webhook. Parts keep the order of the rows; neighbouring chat
messages form one block (R-108).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from itertools import groupby
from pathlib import Path, PurePosixPath

from contract.address import Address
from contract.content import (
    Attachment,
    ChatIn,
    MessageEdited,
    QuestionResponse,
    ReactionIn,
    TaskIn,
    UnknownIn,
    WebhookIn,
)
from contract.inbound.row import MessageKind
from contract.jsontext import dump, storable
from runner.incoming import Incoming
from runner.providers.base import Attachment as File
from runner.providers.base import Prompt

MAX_WORDS = 256 * 1024
"""Of one message; more is cut, and the model is told."""
MAX_PAYLOAD = 50_000
MAX_FILES = 100
"""Handed over as files; the others are only named."""
SCRIPT_OUTPUT = "scriptOutput"
"""Key in a task's content: what the script that gates it has found (R-102)."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}
_LINE_BREAKS = str.maketrans({"\n": " ", "\t": " "})


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """``names`` maps an origin without its thread to the destination's name (R-121).

    ``senders`` does so to the display names of other agents (R-115), ``numbers`` the platform's
    ids of earlier messages to ours (R-116), ``questions`` the ids of cards to what was asked.
    """

    zone_name: str
    zone: tzinfo = UTC
    omitted: int = 0
    names: Mapping[Address, str] = field(default_factory=dict)
    files_dir: str = "/session/in"
    notes: tuple[str, ...] = ()
    senders: Mapping[Address, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)


def build_prompt(items: Iterable[Incoming], facts: PromptFacts) -> Prompt:
    """The formatted text, and the bare words of the rows that woke the agent."""
    rows = tuple(items)
    shown = tuple(item for item in rows if not item.silent)
    lines = [f'<context timezone="{attribute(facts.zone_name)}" />']
    if facts.omitted:
        lines.append(f'<omitted count="{facts.omitted}" />')
    parts: list[str] = []
    for is_block, group in groupby(shown, key=_is_message):
        if is_block:
            parts.append(_block([_chat(item, facts) for item in group]))
        else:
            parts += [_other(item, facts) for item in group]
    words = "\n".join(item.text for item in shown if item.row.trigger and item.text)
    return Prompt(
        text=storable("\n".join([*lines, "\n\n".join(parts)])),
        words=storable(words),
        ids=tuple(item.row.id for item in rows),
        notes=(*facts.notes, *(storable(note) for item in rows for note in item.notes)),
        attachments=tuple(_files(shown, facts))[:MAX_FILES],
        series=_series(rows),
    )


def _series(rows: tuple[Incoming, ...]) -> str | None:
    waking = {
        item.row.series_id if item.row.kind == MessageKind.TASK else None
        for item in rows
        if item.row.trigger
    }
    return waking.pop() if len(waking) == 1 else None


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
    attributes.append(("sender", _sender(item, chat, facts)))
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
            head = [("id", _number(changed, facts)), *head, ("sender", sender or "Unknown")]
            return _element("message_edit", head, escape(_cut(text)))
        case ReactionIn(message_id=to, emoji=emoji, removed=removed, sender=sender):
            head = [("to", _number(to, facts)), *head]
            head += [("sender", sender or "Unknown"), ("emoji", emoji)]
            head.append(("removed", "true" if removed else None))
            return f"<reaction{_attributes(head)} />"
        case QuestionResponse() as answer:
            head += [("action", "ask_user_question"), ("status", "late")]
            return _element("system_response", head, _compact(_late_answer(answer, facts)))
        case UnknownIn(extra=extra) if item.row.kind == MessageKind.SYSTEM:
            head += [(key, str(extra.get(key) or "unknown")) for key in ("action", "status")]
            return _element("system_response", head, _compact(extra.get("result")))
        case content:
            head = [("kind", item.row.kind), *head, ("time", _time(item, facts))]
            return _element("event", head, _pretty(content.plain()))


def _task_body(task: TaskIn) -> str:
    instructions = f"Instructions:\n{escape(_cut(task.prompt))}"
    output = task.extra.get(SCRIPT_OUTPUT)
    if output is None:
        return instructions
    return f"Script output:\n{_pretty(output)}\n\n{instructions}"


def _late_answer(answer: QuestionResponse, facts: PromptFacts) -> dict[str, object]:
    """R-172: what was asked, as far as it is still known, and what was chosen by whom."""
    told: dict[str, object] = {"questionId": answer.question_id}
    if answer.question_id in facts.questions:
        told["question"] = facts.questions[answer.question_id]
    return {**told, "answer": answer.selected_option, "userId": answer.user_id}


def _number(platform_id: str, facts: PromptFacts) -> str:
    """The message's number, by which tools name it; an unknown one keeps its own id."""
    found = facts.numbers.get(platform_id)
    return platform_id if found is None else str(found)


def _origin(item: Incoming, facts: PromptFacts) -> list[tuple[str, str | None]]:
    address = item.row.address
    if item.from_system:
        return [("from", "system")]
    if address.channel_type is None and address.platform_id is None:
        return []
    name = facts.names.get(Address(address.channel_type, address.platform_id))
    unknown = f"unknown:{address.channel_type or ''}:{address.platform_id or ''}"
    return [("from", name or unknown)]


def _sender(item: Incoming, chat: ChatIn, facts: PromptFacts) -> str:
    if chat.sender:
        return chat.sender
    author = chat.author
    named = (author.full_name, author.user_name) if author is not None else ()
    address = item.row.address
    agent = facts.senders.get(Address(address.channel_type, address.platform_id))
    return next((name for name in (*named, agent) if name), "Unknown")


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
    path = _inside(file.local_path)
    if path is not None:
        return f"[{kind}: {name} — saved to {facts.files_dir}/{attribute(str(path))}]"
    if file.error:
        return f"[{kind}: {name} — not available: {attribute(file.error)}]"
    if file.url:
        return f"[{kind}: {name} ({attribute(file.url)})]"
    return f"[{kind}: {name}]"


def _files(items: tuple[Incoming, ...], facts: PromptFacts) -> Iterator[File]:
    """What the provider may hand to the model as it is (R-114)."""
    for item in items:
        if not isinstance(item.content, ChatIn):
            continue
        for file in item.content.attachments:
            path = _inside(file.local_path)
            if path is not None:
                name = file.name or file.filename or path.name
                yield File(Path(facts.files_dir) / path, storable(name), file.mime_type)


def _inside(local_path: str | None) -> PurePosixPath | None:
    """A path that stays below the folder it is relative to."""
    if not local_path or "\0" in local_path:
        return None
    path = PurePosixPath(storable(local_path))
    return None if path.is_absolute() or ".." in path.parts or not path.parts else path


def _element(tag: str, attributes: list[tuple[str, str | None]], body: str) -> str:
    return f"<{tag}{_attributes(attributes)}>{body}</{tag}>"


def _attributes(pairs: Iterable[tuple[str, str | None]]) -> str:
    return "".join(f' {key}="{attribute(value)}"' for key, value in pairs if value is not None)


def _compact(value: object) -> str:
    return escape(_cut(dump(value), MAX_PAYLOAD))


def _pretty(value: object) -> str:
    return escape(_cut(_indented(value), MAX_PAYLOAD))


def _indented(value: object) -> str:
    text = dump(value)  # refuses what is no JSON and repairs what cannot be stored
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


def _cut(text: str, limit: int = MAX_WORDS) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {len(text) - limit} more characters]"
