"""What ``read_file`` answers for each kind of file (R-253). Blocking; called on a thread."""

import base64
import itertools
import json
from pathlib import Path

from runner.toolbox.base import DocumentPart, ImagePart, ToolResult, error_result, text_result
from runner.tools.files.opening import FileProblemError, read_bytes

MAX_LINES = 2000
MAX_CHARACTERS = 60_000
MAX_LINE = 2000
MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_IMAGE_BYTES = 5 * 1024 * 1024 * 3 // 4
MAX_PDF_BYTES = 20 * 1024 * 1024
MAX_ENTRIES = 400
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_PROBE_BYTES = 8192


def read_for_model(path: Path, offset: int, limit: int) -> ToolResult:
    """``offset`` is the first line, from 1. Raises FileProblemError."""
    if path.is_dir():
        return text_result(_listing(path))
    head, size = read_bytes(path, _PROBE_BYTES)
    media_type = image_type(head)
    if media_type is not None:
        return _image(path, size, media_type)
    if head.startswith(b"%PDF-"):
        return _pdf(path, size)
    if path.suffix == ".ipynb":
        return text_result(_numbered(_notebook(path), offset, limit))
    if b"\0" in head:
        return text_result(f"{path} is a binary file of {size} bytes")
    data, _ = read_bytes(path, MAX_TEXT_BYTES)
    text = _numbered(data.decode("utf-8", "replace"), offset, limit)
    if size > MAX_TEXT_BYTES:
        text += f"\n[only the first {MAX_TEXT_BYTES} of {size} bytes can be read this way]"
    return text_result(text)


def image_type(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _IMAGES if head.startswith(magic)), None)


def _image(path: Path, size: int, media_type: str) -> ToolResult:
    if size > MAX_IMAGE_BYTES:
        return error_result(
            f"{path} is an image of {size} bytes; {MAX_IMAGE_BYTES} can be shown. Make it smaller."
        )
    data, _ = read_bytes(path, MAX_IMAGE_BYTES)
    return ToolResult((ImagePart(media_type, base64.b64encode(data).decode()),))


def _pdf(path: Path, size: int) -> ToolResult:
    if size > MAX_PDF_BYTES:
        return error_result(
            f"{path} is a PDF of {size} bytes; {MAX_PDF_BYTES} can be shown. "
            "Use pdftotext in the shell for parts of it."
        )
    data, _ = read_bytes(path, MAX_PDF_BYTES)
    encoded = base64.b64encode(data).decode()
    return ToolResult((DocumentPart("application/pdf", encoded, path.name),))


def _notebook(path: Path) -> str:
    data, _ = read_bytes(path, MAX_TEXT_BYTES)
    try:
        cells = json.loads(data)["cells"]
        parts = [f"# [{cell['cell_type']}]\n{''.join(cell['source'])}" for cell in cells]
    except (ValueError, KeyError, TypeError):
        return data.decode("utf-8", "replace")
    return "\n\n".join(parts)


def _numbered(text: str, offset: int, limit: int) -> str:
    lines = text.splitlines()
    if not lines:
        return "(the file is empty)"
    if offset > len(lines):
        raise FileProblemError(f"the file has only {len(lines)} lines")
    shown: list[str] = []
    left = MAX_CHARACTERS
    for number, line in enumerate(lines[offset - 1 : offset - 1 + limit], start=offset):
        cut = line if len(line) <= MAX_LINE else line[:MAX_LINE] + " [line cut]"
        left -= len(cut) + 8
        if left < 0:
            break
        shown.append(f"{number:>6}\t{cut}")
    last = offset + len(shown) - 1
    if last < len(lines):
        shown.append(f"[lines {offset} to {last} of {len(lines)}; go on with offset {last + 1}]")
    return "\n".join(shown)


def _listing(path: Path) -> str:
    """Two levels deep."""
    lines: list[str] = []
    for entry in itertools.islice(_entries(path), MAX_ENTRIES):
        is_folder = entry.is_dir() and not entry.is_symlink()
        lines.append(entry.name + ("/" if is_folder else ""))
        if is_folder:
            lines += [f"  {below.name}" for below in itertools.islice(_entries(entry), 20)]
    return f"{path} is a folder:\n" + "\n".join(lines[:MAX_ENTRIES])


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError as error:
        raise FileProblemError(f"{path} cannot be read: {error.strerror}") from error
