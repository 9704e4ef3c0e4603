"""What ``read_file`` answers for each kind of file (R-253)."""

import asyncio
import base64
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.toolbox.base import ImagePart, ToolResult, error_result, text_result
from runner.toolbox.pictures import MAX_BYTES, picture_type, problem_of_bytes
from runner.tools.files.notebook import MAX_NOTEBOOK_BYTES, cells_of
from runner.tools.files.numbering import Window, is_utf16, numbered, utf16_as_utf8
from runner.tools.files.opening import FileProblemError, Stamp, opened, read_whole, reason_of
from runner.tools.files.pdf import Poppler, shown_pdf

MAX_UTF16_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 400
MAX_BELOW = 20
MAX_SORTED = 5000
_PROBE_BYTES = 8192


class Kind(StrEnum):
    """How a file is shown."""

    TEXT = "text"
    UTF16 = "utf-16"
    NOTEBOOK = "notebook"
    IMAGE = "image"
    PDF = "pdf"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """``pages`` is for PDF files."""

    path: Path
    window: Window
    pages: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """``stamp`` is None for a folder."""

    result: ToolResult
    stamp: Stamp | None = None


async def read_for_model(request: ReadRequest, poppler: Poppler) -> Seen:
    """Raises FileProblemError."""
    path = request.path
    if await asyncio.to_thread(_is_folder, path):
        return Seen(text_result(await asyncio.to_thread(listing, path)))
    kind, stamp = await asyncio.to_thread(_look, path)
    if kind is Kind.PDF:
        return Seen(await shown_pdf(path, request.pages, poppler), stamp)
    if request.pages:
        raise FileProblemError(f"{path} is no PDF; use offset and limit instead of pages")
    return Seen(await asyncio.to_thread(_shown, request, kind), stamp)


def listing(path: Path) -> str:
    """A folder, two levels deep."""
    lines: list[str] = []
    entries, more = _entries(path)
    for name, is_folder in entries[:MAX_ENTRIES]:
        lines.append(name + ("/" if is_folder else ""))
        if is_folder:
            lines += _below(path / name)
        if len(lines) > MAX_ENTRIES:
            break
    shown = "\n".join(lines[:MAX_ENTRIES]) or "(it is empty)"
    cut = "\n[there is more; use glob]" if more or len(lines) > MAX_ENTRIES else ""
    return f"{path} is a folder:\n{shown}{cut}"


def kind_of(head: bytes, path: Path) -> Kind:
    """By the first bytes; the name counts for notebooks only."""
    if picture_type(head) is not None:
        return Kind.IMAGE
    if b"%PDF-" in head[:1024]:
        return Kind.PDF
    if is_utf16(head):
        return Kind.UTF16
    if b"\0" in head:
        return Kind.BINARY
    return Kind.NOTEBOOK if path.suffix == ".ipynb" else Kind.TEXT


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise FileProblemError(f"{path} cannot be read: {reason_of(error)}") from error


def _look(path: Path) -> tuple[Kind, Stamp]:
    with opened(path) as (file, stamp):
        return kind_of(file.read(_PROBE_BYTES), path), stamp


def _shown(request: ReadRequest, kind: Kind) -> ToolResult:
    path, window = request.path, request.window
    match kind:
        case Kind.IMAGE:
            return _image(path)
        case Kind.BINARY:
            with opened(path) as (_, stamp):
                return text_result(f"{path} is a binary file of {stamp.size} bytes")
        case Kind.UTF16:
            data, _ = read_whole(path, MAX_UTF16_BYTES, "use iconv in the shell")
            text = numbered(io.BytesIO(utf16_as_utf8(data)), window)
            return text_result(f"{text}\n[the file is UTF-16; change it with the shell]")
        case Kind.NOTEBOOK:
            return _notebook(path, window)
        case _:
            with opened(path) as (file, _):
                return text_result(numbered(file, window))


def _image(path: Path) -> ToolResult:
    advice = "make it smaller with a program of the shell"
    data, _ = read_whole(path, MAX_BYTES, f"an image must not be; {advice}")
    if problem := problem_of_bytes(data):
        return error_result(f"{path} is an image that cannot be shown: {problem}; {advice}")
    media_type = picture_type(data)
    assert media_type is not None
    return ToolResult((ImagePart(media_type, base64.b64encode(data).decode()),))


def _notebook(path: Path, window: Window) -> ToolResult:
    with opened(path) as (file, stamp):
        data = file.read(MAX_NOTEBOOK_BYTES) if stamp.size <= MAX_NOTEBOOK_BYTES else b""
        cells = cells_of(data)
        if cells is None:
            file.seek(0)
            return text_result(numbered(file, window))
    text = numbered(io.BytesIO(cells.encode("utf-8", "replace")), window)
    return text_result(f"{text}\n[cells of a notebook; the file itself is JSON]")


def _below(path: Path) -> Iterator[str]:
    try:
        entries, more = _entries(path)
    except FileProblemError:
        yield "  (cannot be read)"
        return
    for name, is_folder in entries[:MAX_BELOW]:
        yield f"  {name}/" if is_folder else f"  {name}"
    if more or len(entries) > MAX_BELOW:
        yield "  ..."


def _entries(path: Path) -> tuple[list[tuple[str, bool]], bool]:
    """Names in order, with whether they are folders; and whether there are more."""
    try:
        with os.scandir(path) as entries:
            found = [
                (entry.name.replace("\n", "\\n"), entry.is_dir(follow_symlinks=False))
                for entry in itertools.islice(entries, MAX_SORTED + 1)
            ]
    except OSError as error:
        raise FileProblemError(f"{path} cannot be read: {error.strerror}") from error
    return sorted(found[:MAX_SORTED]), len(found) > MAX_SORTED
