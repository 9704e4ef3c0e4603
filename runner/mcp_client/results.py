"""A server's answer to a call as the parts that a model reads (R-273).

Called by ``tools``. Text is joined and bounded, with all of it in a spool file; images are passed
on when they are images, because one broken image would make the endpoint refuse the whole
conversation from then on. Everything else becomes a line of text that says what it was.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.mcp_client.listing import clean, cut
from runner.toolbox.base import DocumentPart, ImagePart, Part, TextPart, ToolResult
from runner.toolbox.pictures import picture_type
from runner.toolbox.source import Keeper

if TYPE_CHECKING:
    import mcp_types as types

MAX_TEXT = 60_000
_HEAD = 39_000
_TAIL = 20_000
MAX_IMAGES = 19
"""Besides the text; a result has at most 20 parts."""

MAX_IMAGE_BYTES = 3_700_000
"""5 MB as base64 is what the Messages API takes."""

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_BLOCKS = 1000
_MAX_LABEL = 300

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
}


def image_type(data: bytes) -> tuple[str, str] | None:
    """Media type and file suffix by the first bytes, whatever the sender says."""
    kind = picture_type(data)
    return None if kind is None else (kind, _SUFFIXES[kind])


def translate(answer: "types.CallToolResult", spool: Keeper) -> ToolResult:
    """At least one part, and no empty text."""
    collected = _Collected(spool)
    for block in answer.content[:MAX_BLOCKS]:
        collected.add(block)
    if len(answer.content) > MAX_BLOCKS:
        collected.say(f"({len(answer.content) - MAX_BLOCKS} more blocks were left out)")
    if not collected.has_text and answer.structured_content is not None:
        collected.say(_as_json(answer.structured_content))
    return ToolResult(collected.parts(), is_error=bool(answer.is_error))


def bounded_text(text: str, spool: Keeper) -> str:
    """Head and tail of a long text, and where the whole is."""
    if len(text) <= MAX_TEXT:
        return text
    path = spool.keep(text.encode("utf-8", "replace"), ".txt")
    where = f"; all of it is in {path}" if path is not None else ""
    left_out = len(text) - _HEAD - _TAIL
    return f"{text[:_HEAD]}\n[... {left_out:,} characters left out{where} ...]\n{text[-_TAIL:]}"


@dataclass
class _Collected:
    spool: Keeper
    texts: list[str] = field(default_factory=list)
    media: list[Part] = field(default_factory=list)
    has_text: bool = False

    def say(self, text: str) -> None:
        self.texts.append(clean(text))

    def add(self, block: "types.ContentBlock") -> None:
        _ADDERS.get(block.type, _add_other)(self, block)

    def parts(self) -> tuple[Part, ...]:
        text = bounded_text("\n".join(self.texts), self.spool)
        if text.strip():
            return (TextPart(text), *self.media)
        return tuple(self.media) or (TextPart("(no output)"),)

    def add_bytes(self, encoded: str, declared: str | None, label: str) -> None:
        """An image or a PDF as a part, anything else as a file."""
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            self.say(f"[{label}: its data is damaged]")
            return
        if (text := _written(data, declared)) is not None:
            self.has_text = True
            self.say(f"[{label}]\n{text}")
            return
        image = image_type(data)
        if image is not None and self._takes_image(data):
            self.media.append(ImagePart(image[0], base64.b64encode(data).decode()))
        elif data.startswith(b"%PDF-") and len(data) <= MAX_DOCUMENT_BYTES:
            self.media.append(
                DocumentPart("application/pdf", base64.b64encode(data).decode(), label[:100])
            )
        else:
            self._keep(data, declared, label, image[1] if image else ".bin")

    def _takes_image(self, data: bytes) -> bool:
        return len(data) <= MAX_IMAGE_BYTES and len(self.media) < MAX_IMAGES

    def _keep(self, data: bytes, declared: str | None, label: str, suffix: str) -> None:
        path = self.spool.keep(data, suffix)
        where = f"kept in {path}" if path is not None else "it could not be kept"
        kind = cut(clean(declared or "unknown type"), 100)
        self.say(f"[{label}: {kind}, {len(data):,} bytes, {where}]")


def _written(data: bytes, declared: str | None) -> str | None:
    """The text in a blob that is declared as one."""
    if not (declared or "").lower().startswith(("text/", "application/json")):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _add_text(collected: _Collected, block: "types.TextContent") -> None:
    collected.has_text = collected.has_text or bool(block.text.strip())
    collected.say(block.text)


def _add_image(collected: _Collected, block: "types.ImageContent") -> None:
    collected.add_bytes(block.data, block.mime_type, "image")


def _add_audio(collected: _Collected, block: "types.AudioContent") -> None:
    collected.add_bytes(block.data, block.mime_type, "audio, which cannot be listened to here")


def _add_link(collected: _Collected, block: "types.ResourceLink") -> None:
    about = " ".join(str(item) for item in (block.title or block.name, block.description) if item)
    collected.has_text = True
    collected.say(f"[resource {cut(str(block.uri), _MAX_LABEL)}: {cut(about, _MAX_LABEL)}]")


def _add_resource(collected: _Collected, block: "types.EmbeddedResource") -> None:
    resource = block.resource
    label = f"resource {cut(str(resource.uri), _MAX_LABEL)}"
    text = getattr(resource, "text", None)
    if isinstance(text, str):
        collected.has_text = True
        collected.say(f"[{label}]\n{text}")
    else:
        collected.add_bytes(str(getattr(resource, "blob", "")), resource.mime_type, label)


def _add_other(collected: _Collected, block: object) -> None:
    collected.say(f"[a block of an unknown kind: {cut(repr(block), _MAX_LABEL)}]")


_ADDERS: dict[str, Callable[..., None]] = {
    "text": _add_text,
    "image": _add_image,
    "audio": _add_audio,
    "resource_link": _add_link,
    "resource": _add_resource,
}


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=1)
    except (TypeError, ValueError, RecursionError):
        return "(structured content that cannot be shown)"
