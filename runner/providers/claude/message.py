"""Puts the events of one stream together to a message, exactly as it arrived.

Pure. Called by ``client``. Blocks are plain dictionaries, dispatched by their ``type``: unknown
kinds of blocks, fields and events of a newer API are kept or skipped, never a crash, and what is
sent back later is what came (R-236). A stream that makes no sense raises MalformedStreamError; a
message without a stop reason was cut off and is no message.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.jsontext import storable

MAX_BLOCKS = 10_000

Block = dict[str, object]
"""A content block in the form of the API."""


class MalformedStreamError(Exception):
    """The server sent something that is no answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. ``broken_calls`` are tool calls whose input was no JSON object."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: str | None
    usage: Mapping[str, object]
    stop_details: Mapping[str, object] = field(default_factory=dict)
    broken_calls: frozenset[str] = frozenset()
    transformations: object = None
    """``input_transformations``: what the API did to our input, for the log."""

    def blocks(self, kind: str) -> tuple[Block, ...]:
        return tuple(block for block in self.content if block.get("type") == kind)

    @property
    def text(self) -> str:
        """All text blocks as one text (R-241)."""
        texts = (block.get("text") for block in self.blocks("text"))
        return "".join(text for text in texts if isinstance(text, str))


@dataclass(slots=True)
class _Open:
    """A block that is still arriving; pieces are joined once, at its end."""

    block: Block
    pieces: dict[str, list[str]] = field(default_factory=dict)
    stopped: bool = False

    def add(self, key: str, piece: object) -> None:
        if not isinstance(piece, str):
            raise MalformedStreamError(f"a delta of {key} is not text")
        self.pieces.setdefault(key, []).append(piece)


class MessageBuilder:
    """One stream; ``finish`` gives the message."""

    def __init__(self) -> None:
        self._head: dict[str, object] | None = None
        self._usage: dict[str, object] = {}
        self._blocks: dict[int, _Open] = {}
        self._tail: dict[str, object] = {}
        self._broken: set[str] = set()
        self._transformations: object = None

    def add(self, event: Mapping[str, object]) -> None:
        """Raises MalformedStreamError."""
        kind = event.get("type")
        if kind == "message_start":
            self._start(_mapping(event.get("message"), "message"))
        elif kind in ("content_block_start", "content_block_delta", "content_block_stop"):
            if self._head is None:
                raise MalformedStreamError(f"{kind} came before message_start")
            self._block_event(str(kind), event)
        elif kind == "message_delta":
            if self._head is None:
                raise MalformedStreamError("message_delta came before message_start")
            self._end(event)

    def finish(self) -> Response | None:
        """None: the stream ended before the message did."""
        if self._head is None:
            return None
        reason = self._tail.get("stop_reason")
        unfinished = any(not block.stopped for block in self._blocks.values())
        if not isinstance(reason, str) or unfinished:
            return None
        content = [self._blocks[index].block for index in sorted(self._blocks)]
        details = self._tail.get("stop_details")
        return Response(
            id=str(self._head.get("id") or ""),
            model=str(self._head.get("model") or ""),
            content=tuple(_storable(content)),
            stop_reason=reason,
            usage=self._usage,
            stop_details=details if isinstance(details, dict) else {},
            broken_calls=frozenset(self._broken),
            transformations=self._transformations,
        )

    def _start(self, message: Mapping[str, object]) -> None:
        if self._head is not None:
            raise MalformedStreamError("message_start came twice")
        self._head = dict(message)
        self._transformations = message.get("input_transformations")
        usage = message.get("usage")
        self._usage = dict(usage) if isinstance(usage, dict) else {}

    def _block_event(self, kind: str, event: Mapping[str, object]) -> None:
        index = event.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_BLOCKS:
            raise MalformedStreamError(f"{kind} has no usable index")
        if kind == "content_block_start":
            if index in self._blocks:
                raise MalformedStreamError(f"content block {index} starts twice")
            self._blocks[index] = _Open(dict(_mapping(event.get("content_block"), "content_block")))
            self._note_fallback(self._blocks[index].block)
            return
        opened = self._blocks.get(index)
        if opened is None:
            raise MalformedStreamError(f"{kind} is for content block {index}, which never started")
        if kind == "content_block_stop":
            self._close(opened)
        else:
            _apply(opened, _mapping(event.get("delta"), "delta"))

    def _note_fallback(self, block: Block) -> None:
        """The block of a server-side fallback names the model that really answers."""
        target = block.get("to")
        if block.get("type") == "fallback" and isinstance(target, dict) and self._head is not None:
            self._head["model"] = target.get("model")

    def _close(self, opened: _Open) -> None:
        opened.stopped = True
        for key, pieces in opened.pieces.items():
            if key == "input":
                self._close_input(opened.block, "".join(pieces))
            else:
                first = opened.block.get(key)
                start = first if isinstance(first, str) else ""
                opened.block[key] = start + "".join(pieces)
        opened.pieces.clear()

    def _close_input(self, block: Block, text: str) -> None:
        if not text.strip():
            return
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            block["input"] = value
        else:
            block["input"] = {}
            self._broken.add(str(block.get("id")))

    def _end(self, event: Mapping[str, object]) -> None:
        self._tail.update(_mapping(event.get("delta"), "delta"))
        usage = event.get("usage")
        if isinstance(usage, dict):  # totals; what is missing keeps its first value
            self._usage.update({key: value for key, value in usage.items() if value is not None})
        if event.get("input_transformations") is not None:
            self._transformations = event["input_transformations"]


def _apply(opened: _Open, delta: Mapping[str, object]) -> None:
    """One delta; of a kind that we do not know, nothing."""
    block = opened.block
    match delta.get("type"):
        case "text_delta":
            opened.add("text", delta.get("text"))
        case "thinking_delta":
            opened.add("thinking", delta.get("thinking"))
        case "input_json_delta":
            opened.add("input", delta.get("partial_json"))
        case "signature_delta":
            block["signature"] = delta.get("signature")
        case "citations_delta":
            citations = block.get("citations")
            block["citations"] = [
                *(citations if isinstance(citations, list) else []),
                delta.get("citation"),
            ]
        case "compaction_delta":
            block.update({key: value for key, value in delta.items() if key != "type"})


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedStreamError(f"{name} is not an object")
    return value


def _storable(content: list[Block]) -> Iterable[Block]:
    """Halves of characters, joined or replaced: neither file nor request can carry them."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise MalformedStreamError(f"the content cannot be kept: {error}") from error
    clean = storable(text)
    if clean is text:
        return content
    return [block for block in json.loads(clean) if isinstance(block, dict)]


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
