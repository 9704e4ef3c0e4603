"""Images and PDFs of a message as native blocks, each after a line with its path (R-114, R-259).

Called by ``engine`` when input is stored. The files lie in a folder that only the host writes, but
are read as if anybody had: no links, no devices, bounded. A file that cannot be shown becomes one
line that says why; the agent still has its path. Other kinds of files are the prompt's matter.
"""

import base64
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from runner.providers.base import Attachment
from runner.providers.claude.message import Block

MAX_IMAGES = 20
MAX_TOTAL_BYTES = 15 * 1024 * 1024
MAX_IMAGE_BYTES = 3_750_000
"""Five million characters of base64, the limit of the API for one image."""
MAX_PDF_BYTES = 15 * 1024 * 1024
MEDIA_BLOCKS = frozenset({"image", "document"})
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


class _UnreadableError(Exception):
    """Says why, for the agent."""


def attachment_blocks(attachments: Iterable[Attachment]) -> list[Block]:
    """Blocks for those that a model can look at; nothing for the others."""
    blocks: list[Block] = []
    images, left = 0, MAX_TOTAL_BYTES
    for attachment in attachments:
        if not _is_visual(attachment):
            continue
        try:
            if images >= MAX_IMAGES:
                raise _UnreadableError(f"more than {MAX_IMAGES} files in one message")
            block, size = _block(attachment, left)
        except _UnreadableError as reason:
            blocks.append(_line(f"{attachment.path} is not shown here: {reason}"))
            continue
        images, left = images + 1, left - size
        blocks += [_line(f"{attachment.path}:"), block]
    return blocks


def without_media(blocks: Iterable[Block], reason: str) -> list[Block]:
    """The same with a line in place of every image and document, also inside tool results."""
    result: list[Block] = []
    for block in blocks:
        content = block.get("content")
        if block.get("type") in MEDIA_BLOCKS:
            result.append(_line(f"(not shown: {reason})"))
        elif block.get("type") == "tool_result" and isinstance(content, list):
            result.append({**block, "content": without_media(content, reason)})
        else:
            result.append(block)
    return result


def has_media(blocks: Iterable[Block]) -> bool:
    return any(
        block.get("type") in MEDIA_BLOCKS
        or (isinstance(content := block.get("content"), list) and has_media(content))
        for block in blocks
    )


def _is_visual(attachment: Attachment) -> bool:
    suffix = attachment.path.suffix.lower()
    media = attachment.media_type or ""
    if suffix == ".pdf" or media == "application/pdf":
        return True
    return suffix in _IMAGE_SUFFIXES or media.startswith("image/")


def _block(attachment: Attachment, left: int) -> tuple[Block, int]:
    data = _read(attachment.path, min(left, MAX_PDF_BYTES))
    media = _media_type(data)
    if media is None:
        raise _UnreadableError("it is no PNG, JPEG, GIF, WebP or PDF file")
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": media, "data": encoded}
    if media == "application/pdf":
        return {"type": "document", "source": source, "title": attachment.name[:200]}, len(data)
    if len(data) > MAX_IMAGE_BYTES:
        raise _UnreadableError(f"an image may have {MAX_IMAGE_BYTES} bytes, it has {len(data)}")
    return {"type": "image", "source": source}, len(data)


def _read(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _UnreadableError(f"it cannot be read ({error.strerror})") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _UnreadableError("it is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise _UnreadableError(f"it has {status.st_size} bytes, {limit} are left for a message")
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise _UnreadableError(f"it cannot be read ({error.strerror})") from error
    if not data:
        raise _UnreadableError("it is empty")
    if len(data) > limit:
        raise _UnreadableError(f"it has more than the {limit} bytes that are left for a message")
    return data


def _media_type(data: bytes) -> str | None:
    """By the first bytes: names and declared types come from outside and may be wrong."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/pdf" if data[:1024].lstrip().startswith(b"%PDF-") else None


def _line(text: str) -> Block:
    return {"type": "text", "text": text}
