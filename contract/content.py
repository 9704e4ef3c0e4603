"""What stands in the ``content`` column of message rows: one dataclass per shape (H 10.1, 10.2).

``parse_inbound`` is for the runner, ``parse_outbound`` for the host, ``dump`` for both. Inbound
text that is no JSON object becomes a chat text, because old rows contain such (R-111). Outbound
text is written by an agent: it is bounded, and anything that does not fit is BadContent.
"""

from dataclasses import dataclass

from contract.actions import SystemAction, parse_action
from contract.errors import BadContent
from contract.inbound.row import MessageKind
from contract.jsontext import dump as dump_json
from contract.jsontext import parse_object, parse_value
from contract.shape import Shape

MAX_INBOUND_BYTES = 4 * 1024 * 1024
MAX_OUTBOUND_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment(Shape):
    """A file of an inbound message (H-307); ``local_path`` is relative to ``in/``."""

    type: str | None = None
    name: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    size: int | None = None
    url: str | None = None
    local_path: str | None = None
    data: str | None = None
    error: str | None = None
    """Why there is no file, in words (C-58)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo(Shape):
    """The message that is answered (H-308)."""

    text: str | None = None
    sender: str | None = None
    id: str | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Author(Shape):
    """Sender as the chat bridge of the reference wrote it."""

    user_id: str | None = None
    user_name: str | None = None
    full_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatIn(Shape):
    """Kinds ``chat`` and ``chat-sdk``: both are read alike."""

    text: str = ""
    sender: str | None = None
    sender_id: str | None = None
    sender_name: str | None = None
    is_from_me: bool | None = None
    author: Author | None = None
    attachments: tuple[Attachment, ...] = ()
    files: tuple[str, ...] = ()
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited(Shape):
    """Someone changed an earlier message (R-116)."""

    TAG = ("event", "edit")
    message_id: str
    text: str
    sender: str | None = None
    sender_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionIn(Shape):
    """Someone reacted to an earlier message (R-116)."""

    TAG = ("event", "reaction")
    message_id: str
    emoji: str
    removed: bool = False
    sender: str | None = None
    sender_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskIn(Shape):
    """A scheduled prompt, with a script that may gate it."""

    prompt: str
    script: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookIn(Shape):
    source: str | None = None
    event: str | None = None
    payload: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionResponse(Shape):
    """The answer to a question card, or the generic response of the reference's helper."""

    TAG = ("type", "question_response")
    question_id: str
    selected_option: str | None = None
    user_id: str | None = None
    status: str | None = None
    result: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CliError(Shape):
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CliFrame(Shape):
    """The answer of an administrative command (R-183)."""

    id: str
    ok: bool
    data: object = None
    error: CliError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CliResponse(Shape):
    TAG = ("type", "cli_response")
    request_id: str
    frame: CliFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownIn(Shape):
    """A shape of a newer host or of another program; everything is in ``extra``."""


InboundContent = (
    ChatIn
    | MessageEdited
    | ReactionIn
    | TaskIn
    | WebhookIn
    | QuestionResponse
    | CliResponse
    | UnknownIn
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOut(Shape):
    """Text with files; the bytes lie in ``out/files/<message id>/``."""

    text: str = ""
    markdown: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOut(Shape):
    TAG = ("operation", "edit")
    message_id: str
    text: str = ""
    markdown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionOut(Shape):
    TAG = ("operation", "reaction")
    message_id: str
    emoji: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Shape):
    """One answer of a card, in the stored form of H-310."""

    label: str
    selected_label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionCard(Shape):
    """``timeout`` is how many seconds the agent waits for the answer."""

    TAG = ("type", "ask_question")
    question_id: str
    title: str
    question: str
    options: tuple[Option, ...]
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAction(Shape):
    """One without label or url is read and left out when the card is shown (H-277)."""

    label: str = ""
    url: str = ""
    style: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card(Shape):
    title: str | None = None
    description: str | None = None
    children: tuple[object, ...] = ()
    actions: tuple[CardAction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOut(Shape):
    TAG = ("type", "card")
    card: Card
    fallback_text: str = ""


OutboundContent = ChatOut | EditOut | ReactionOut | QuestionCard | CardOut | SystemAction

_EVENTS: dict[object, type[MessageEdited | ReactionIn]] = {
    "edit": MessageEdited,
    "reaction": ReactionIn,
}
_RESPONSES: dict[object, type[QuestionResponse | CliResponse]] = {
    "question_response": QuestionResponse,
    "cli_response": CliResponse,
}
_CHAT_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK})


def parse_inbound(kind: str, text: str) -> InboundContent:
    """The content of a row from the host. Raises BadContent only when a limit is exceeded."""
    try:
        value = parse_value(text, max_bytes=MAX_INBOUND_BYTES)
    except BadContent:
        if len(text) > MAX_INBOUND_BYTES:
            raise
        value = text
    if not isinstance(value, dict):
        return ChatIn(text=value if isinstance(value, str) else text)
    try:
        return _inbound_class(kind, value).read(value)
    except BadContent:
        return UnknownIn.read(value)


def _inbound_class(kind: str, value: dict[str, object]) -> type[InboundContent]:
    if kind in _CHAT_KINDS:
        return _EVENTS.get(_word(value.get("event")), ChatIn)
    if kind == MessageKind.TASK:
        return TaskIn
    if kind == MessageKind.WEBHOOK:
        return WebhookIn
    return _RESPONSES.get(_word(value.get("type")), UnknownIn)


def _word(value: object) -> str:
    """A list or an object names no shape, and cannot be looked up."""
    return value if isinstance(value, str) else ""


def parse_outbound(kind: str, text: str) -> OutboundContent:
    """The content of a row from the runner; raises BadContent."""
    value = parse_object(text, max_bytes=MAX_OUTBOUND_BYTES)
    if kind == MessageKind.SYSTEM:
        return parse_action(value)
    if value.get("operation") == "edit":
        return EditOut.read(value)
    if value.get("operation") == "reaction":
        return ReactionOut.read(value)
    if value.get("type") == "ask_question":
        return QuestionCard.read({**value, "options": normal_options(value.get("options"))})
    if value.get("type") == "card":
        return CardOut.read(value)
    return ChatOut.read(value)


def normal_options(options: object) -> object:
    """A string stands for all three fields; missing labels and values are the label (H-132)."""
    if not isinstance(options, list):
        return options
    return [_normal_option(option) for option in options]


def _normal_option(option: object) -> object:
    if isinstance(option, str):
        option = {"label": option}
    if not isinstance(option, dict):
        return option
    label = option.get("label")
    return {"selectedLabel": label, "value": label, **option}


def dump(content: Shape) -> str:
    """Compact JSON text of any shape."""
    return dump_json(content.plain())
