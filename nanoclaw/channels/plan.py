"""Decides what is sent for one outgoing message: the parts, once and for all (C-32, C-33).

Pure. Called by the outbox when a delivery is seen for the first time; a later attempt sends the
recorded parts. Whatever cannot be expressed falls to a simpler form; only what leaves nothing to
say, or asks for what the platform cannot do, is a permanent failure.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from contract.content import (
    CardOut,
    ChatOut,
    EditOut,
    OutboundContent,
    QuestionCard,
    ReactionOut,
    parse_outbound,
)
from contract.errors import BadContent
from contract.shape import Shape
from nanoclaw.capabilities import Buttons, Capabilities, TextUnit
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Operation, Part, PartFile, Question
from nanoclaw.channels.split import measure, split_for_limit
from nanoclaw.events import Deliver, FailureClass

KEY_LENGTH = 24
"""Fits the shortest platform limit (Discord's nonce, 25 characters; C-34)."""
MAX_CUTS = 2
SHORTEST_LIMIT = 4


@dataclass(frozen=True, slots=True)
class Draft:
    """A message after reading, before it is cut."""

    text: str = ""
    question: Question | None = None
    operation: Operation = Operation.SEND
    target_id: str | None = None
    emoji: str | None = None


def plan_parts(frame: Deliver, capabilities: Capabilities, install_id: str) -> tuple[Part, ...]:
    """The parts of one message, in order. Raises ChannelFailure (permanent)."""
    draft = _read(frame, capabilities)
    contents = _contents(draft, frame, capabilities)
    parts = [
        Part(
            key=part_key(frame.delivery_id, str(index), install_id),
            text=text,
            files=files,
            operation=draft.operation if index == 0 else Operation.SEND,
            target_id=draft.target_id if index == 0 else None,
            emoji=draft.emoji,
            reply_to=frame.reply_to_message_id,
            reply_hint=frame.reply_hint,
            sent_at=frame.sent_at,
        )
        for index, (text, files) in enumerate(contents)
    ]
    parts[-1] = replace(parts[-1], completes=frame.completes, question=draft.question)
    return tuple(parts)


def _contents(
    draft: Draft, frame: Deliver, capabilities: Capabilities
) -> list[tuple[str, tuple[PartFile, ...]]]:
    """Text and files of each part; files go with the last text, or follow it (C-56)."""
    if draft.operation is Operation.REACT:
        return [("", ())]
    files, unsent = _files(frame, capabilities)
    text = "\n\n".join(piece for piece in (draft.text.strip(), unsent) if piece)
    pieces = split_for_limit(text, capabilities.text_limit, capabilities.text_unit)
    groups = _file_groups(files, capabilities)
    contents: list[tuple[str, tuple[PartFile, ...]]] = [(piece, ()) for piece in pieces]
    if contents and groups and _fits_caption(pieces[-1], capabilities):
        contents[-1] = (pieces[-1], groups.pop(0))
    contents += [("", group) for group in groups]
    if not contents:
        raise _permanent("the message has neither text nor files")
    return contents


def part_key(delivery_id: str, index: str, install_id: str) -> str:
    """The same for every attempt, and for no other part of any installation (C-34)."""
    unique = f"{delivery_id}/{index}/{install_id}"
    return hashlib.sha256(unique.encode("utf-8", "replace")).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class Revision:
    """A new plan after the platform refused a part for its form; the parts before it stand."""

    parts: tuple[Part, ...]
    cuts: int


def revise(
    parts: tuple[Part, ...],
    index: int,
    failure: ChannelFailure,
    cuts: int,
    capabilities: Capabilities,
) -> Revision | ChannelFailure:
    """What follows a failure: another form of the part, or the failure as the host gets it.

    Refused markup is sent once as plain text; a part that is too large is halved, twice.
    """
    part = parts[index]
    if failure.failure is FailureClass.BAD_FORMAT and not part.unformatted:
        return Revision(
            (*parts[:index], replace(part, unformatted=True), *parts[index + 1 :]), cuts
        )
    if failure.failure is FailureClass.TOO_LARGE and cuts < MAX_CUTS:
        limit = measure(part.text, capabilities.text_unit) // 2
        if limit >= SHORTEST_LIMIT:
            halves = _cut(part, limit, capabilities.text_unit)
            return Revision((*parts[:index], *halves, *parts[index + 1 :]), cuts + 1)
    if failure.failure in (FailureClass.BAD_FORMAT, FailureClass.TOO_LARGE):
        return _permanent(f"the platform refused the message: {failure.detail}")
    return failure


def _cut(part: Part, limit: int, unit: TextUnit) -> list[Part]:
    pieces = [
        replace(
            part,
            key=part_key(part.key, f"cut.{index}", ""),
            text=piece,
            files=(),
            question=None,
            completes=False,
        )
        for index, piece in enumerate(split_for_limit(part.text, limit, unit))
    ]
    pieces[-1] = replace(
        pieces[-1], files=part.files, question=part.question, completes=part.completes
    )
    return pieces


def _read(frame: Deliver, capabilities: Capabilities) -> Draft:
    try:
        content = parse_outbound(frame.kind, frame.content)
    except BadContent as error:
        raise _permanent(f"the message cannot be read: {error}") from error
    return _draft(content, capabilities)


def _draft(content: OutboundContent, capabilities: Capabilities) -> Draft:
    match content:
        case ChatOut():
            return Draft(content.markdown or content.text)
        case QuestionCard():
            return _question_draft(content, capabilities)
        case CardOut():
            return Draft(_card_text(content))
        case EditOut():
            if not capabilities.edits:
                raise _permanent("this channel cannot change a message that was sent")
            text = content.markdown or content.text
            return Draft(text, operation=Operation.EDIT, target_id=content.message_id)
        case ReactionOut():
            if not capabilities.reactions:
                raise _permanent("this channel has no reactions")
            return Draft(
                operation=Operation.REACT, target_id=content.message_id, emoji=content.emoji
            )
        case Shape():
            raise _permanent("system messages do not go to a channel")
        case _:
            assert_never(content)


def _question_draft(card: QuestionCard, capabilities: Capabilities) -> Draft:
    """Numbered lines where the platform has no buttons, or too few of them (C-64)."""
    if not card.title or not card.options:
        raise _permanent("the question has no title or no options")
    labels = tuple(option.label for option in card.options)
    question = Question(question_id=card.question_id, title=card.title, options=labels)
    lines = [card.title] if card.title == card.question else [card.title, card.question]
    buttons = capabilities.buttons is Buttons.CALLBACK
    if not (buttons and len(labels) <= capabilities.max_buttons):
        lines += [f"{number}. {label}" for number, label in enumerate(labels, start=1)]
    return Draft("\n".join(line for line in lines if line), question)


def _card_text(content: CardOut) -> str:
    card = content.card
    lines = [card.title or "", card.description or ""]
    for child in card.children:
        text = child.get("text") if isinstance(child, dict) else child
        lines.append(text if isinstance(text, str) else "")
    lines += [
        f"{action.label}: {action.url}"
        for action in card.actions
        if action.label and action.url.startswith("https://")
    ]
    return "\n".join(line for line in lines if line) or content.fallback_text


def _files(frame: Deliver, capabilities: Capabilities) -> tuple[list[PartFile], str]:
    """The files that this channel takes, and a line about the others."""
    taken: list[PartFile] = []
    refused: list[str] = []
    for file in frame.files:
        if capabilities.max_files == 0 or file.size > capabilities.max_file_bytes:
            refused.append(file.name)
        else:
            taken.append(
                PartFile(name=file.name, spool=file.spool, size=file.size, sha256=file.sha256)
            )
    if not refused:
        return taken, ""
    reason = "this channel takes no files" if capabilities.max_files == 0 else "too large"
    return taken, f"[not sent, {reason}: {', '.join(refused)}]"


def _file_groups(
    files: Sequence[PartFile], capabilities: Capabilities
) -> list[tuple[PartFile, ...]]:
    size = max(1, capabilities.max_files)
    return [tuple(files[start : start + size]) for start in range(0, len(files), size)]


def _fits_caption(text: str, capabilities: Capabilities) -> bool:
    return measure(text, capabilities.text_unit) <= capabilities.caption_limit


def _permanent(detail: str) -> ChannelFailure:
    return ChannelFailure(FailureClass.PERMANENT, detail)
