"""The last line of defence between a tool's result and the conversation (R-250, R-252).

Tools bound their results themselves; whatever forgets to, or comes from a foreign server, is cut
here: a long text keeps its two ends and goes whole into the spool, media that no endpoint takes
become a sentence, and a result always has text or media in it.
"""

import base64
import binascii
from collections.abc import Iterator

from runner.toolbox.base import DocumentPart, ImagePart, Part, TextPart, ToolResult
from runner.toolbox.media import MAX_IMAGE_BASE64, media_kind
from runner.toolbox.source import Keeper

MAX_TEXT = 60_000
"""Characters of all texts of one result together."""
MAX_PARTS = 20
MAX_DOCUMENT_BASE64 = 28 * 1000 * 1000
"""20 MiB of PDF."""
MAX_MEDIA_BASE64 = MAX_DOCUMENT_BASE64
"""All media of one result together; a request may have 32 MB."""
_HEAD = 20_000
_NOTICE = 500
_NOTHING = TextPart("(no output)")
_DATA_PROBE = 64 * 1024


def is_within_bounds(result: ToolResult) -> bool:
    """The quick look that nearly all results pass; no need to copy anything."""
    return (
        0 < len(result.parts) <= MAX_PARTS
        and all(isinstance(part, TextPart) and part.text.strip() for part in result.parts)
        and sum(len(part.text) for part in result.parts if isinstance(part, TextPart)) <= MAX_TEXT
    )


def bounded(result: ToolResult, keeper: Keeper | None) -> ToolResult:
    """Within all limits; writes a file when text is cut, hence run in a thread."""
    parts = [*_usable_media(result.parts[:MAX_PARTS])]
    left_out = len(result.parts) - MAX_PARTS
    if left_out > 0:
        parts[-1] = TextPart(f"[{left_out + 1} more parts of this result were left out]")
    parts = [part for part in parts if not isinstance(part, TextPart) or part.text.strip()]
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if sum(map(len, texts)) > MAX_TEXT:
        short = TextPart(_shortened("\n".join(texts), keeper))
        parts = [short, *(part for part in parts if not isinstance(part, TextPart))]
    return ToolResult(tuple(parts) or (_NOTHING,), is_error=result.is_error)


def _shortened(text: str, keeper: Keeper | None) -> str:
    path = keeper.keep(text.encode("utf-8", "replace"), "txt") if keeper is not None else None
    where = f"the whole is in {path}" if path is not None else "the rest could not be kept"
    tail = MAX_TEXT - _HEAD - _NOTICE
    cut = len(text) - _HEAD - tail
    return f"{text[:_HEAD]}\n[... {cut} characters cut; {where} ...]\n{text[-tail:]}"


def _usable_media(parts: tuple[Part, ...]) -> Iterator[Part]:
    left = MAX_MEDIA_BASE64
    for part in parts:
        if isinstance(part, TextPart):
            yield part
            continue
        problem = _problem(part, left)
        if problem:
            yield TextPart(f"[not shown: {problem}]")
        else:
            left -= len(part.data)
            yield part


def _problem(part: ImagePart | DocumentPart, left: int) -> str:
    """Why the part cannot be handed to a model; empty when it can."""
    what = "an image" if isinstance(part, ImagePart) else "a document"
    limit = MAX_IMAGE_BASE64 if isinstance(part, ImagePart) else MAX_DOCUMENT_BASE64
    if len(part.data) > limit:
        size = len(part.data) * 3 // 4
        return f"{what} of {size} bytes, more than the {limit * 3 // 4} that can be shown"
    if len(part.data) > left:
        return f"{what}, because the media of this result are too large together"
    try:
        head = base64.b64decode(part.data[:_DATA_PROBE], validate=True)
    except (binascii.Error, ValueError):
        return f"{what} whose data is not base64"
    kind = media_kind(head)
    if kind != part.media_type and not (kind is None and head.startswith(b"\xff\xd8\xff")):
        return f"{what} that is said to be {part.media_type[:60]!r} and is {kind or 'something else'}"
    return ""
