"""PDF files: shown to the model as they are, or some pages of them as text (R-253).

Called by ``reading``. Text comes from poppler's programs, which the image has; without them
documents can still be shown whole. What an endpoint would refuse, because it is locked, damaged or
too long, is told here: a document that is refused would spoil the whole conversation.
"""

import asyncio
import base64
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.toolbox.base import DocumentPart, ToolResult, error_result, text_result
from runner.tools.files.opening import FileProblemError, opened, reason_of
from runner.tools.running import Printed, Program, run_program

MAX_SHOWN_BYTES = 20 * 1024 * 1024
MAX_SHOWN_PAGES = 100
MAX_TEXT_PAGES = 50
"""In one call; a page is rarely more than 4,000 characters."""
MAX_CHARACTERS = 60_000
SECONDS = 20.0
_MAX_BYTES = 4 * MAX_CHARACTERS + 4
_RANGE = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{0,6})\s*)?")
_PAGES = re.compile(r"^Pages:\s+(\d+)", re.MULTILINE)
_LOCKED = (b"/Encrypt", b"Incorrect password")


@dataclass(frozen=True, slots=True)
class Poppler:
    """Its programs, None where they are not, and for how long each may run."""

    info: str | None
    text: str | None
    seconds: float = SECONDS


def find_poppler() -> Poppler:
    return Poppler(shutil.which("pdfinfo"), shutil.which("pdftotext"))


async def shown_pdf(path: Path, pages: str, poppler: Poppler) -> ToolResult:
    """``pages`` such as 3 or 2-5; empty: all of it, as a document. Raises FileProblemError."""
    if pages:
        return await _pages_as_text(path, pages, poppler)
    data = await asyncio.to_thread(_whole, path)
    if data is None:
        return error_result(
            f"{path} is a PDF of more than {MAX_SHOWN_BYTES // 2**20} MB. Read it in parts, with "
            "pages such as 1-20"
        )
    if problem := await _problem(path, data, poppler):
        return error_result(f"{path} cannot be shown: {problem}")
    encoded = base64.b64encode(data).decode()
    return ToolResult((DocumentPart("application/pdf", encoded, path.name[:100]),))


def read_range(pages: str) -> tuple[int, int | None]:
    """First and last page; None: up to the end. Raises FileProblemError."""
    found = _RANGE.fullmatch(pages)
    if found is None:
        raise FileProblemError("pages must be a number or a range, such as 3 or 2-5")
    first = int(found[1])
    last = first if found[2] is None else int(found[2]) if found[2] else None
    if first < 1 or (last is not None and last < first):
        raise FileProblemError("pages count from 1, and the first comes before the last")
    return first, last


def _whole(path: Path) -> bytes | None:
    """None when it is too large to be shown."""
    with opened(path) as (file, _):
        data = file.read(MAX_SHOWN_BYTES + 1)
    return data if len(data) <= MAX_SHOWN_BYTES else None


async def _problem(path: Path, data: bytes, poppler: Poppler) -> str:
    if poppler.info is None:
        damaged = b"%%EOF" not in data[-4096:]
        return "it is damaged or not complete" if damaged else _locked(data)
    printed = await _run([poppler.info, _argument(path)], poppler.seconds)
    if locked := _locked(printed.complaint.encode()) or _locked(data[-65536:]):
        return locked
    count = _PAGES.search(printed.output.decode("utf-8", "replace"))
    if count is None:
        return "it is damaged or not complete"
    if int(count[1]) > MAX_SHOWN_PAGES:
        return (
            f"it has {count[1]} pages, and {MAX_SHOWN_PAGES} can be shown. "
            "Read it in parts, with pages such as 1-20"
        )
    return ""


def _locked(data: bytes) -> str:
    if any(word in data for word in _LOCKED):
        return "it is protected by a password. Ask for a copy without one"
    return ""


async def _pages_as_text(path: Path, pages: str, poppler: Poppler) -> ToolResult:
    first, last = read_range(pages)
    if poppler.text is None:
        return error_result("pages cannot be read here: there is no pdftotext; leave pages out")
    end = min(last or first + MAX_TEXT_PAGES - 1, first + MAX_TEXT_PAGES - 1)
    words = [poppler.text, "-f", str(first), "-l", str(end), "-layout", "-enc", "UTF-8"]
    printed = await _run([*words, _argument(path), "-"], poppler.seconds)
    said = printed.output.decode("utf-8", "replace").removesuffix("\f").split("\f")
    if not any(page.strip() for page in said):
        if printed.complaint:
            locked = _locked(printed.complaint.encode())
            return error_result(f"{path} cannot be read: {locked or printed.complaint[:300]}")
        return text_result(
            f"(no text on pages {first} to {end} of {path}; they may be pictures. Make one with: "
            f"pdftoppm -png -r 100 -f {first} -l {first} FILE NAME, and read that)"
        )
    text = "\n\n".join(
        f"--- page {number} ---\n{page.rstrip()}" for number, page in enumerate(said, start=first)
    )
    notes = ""
    if len(said) == MAX_TEXT_PAGES and (last is None or last > end):
        notes = f"\n[up to page {end}; {MAX_TEXT_PAGES} pages at a time]"
    if printed.is_full or len(text) > MAX_CHARACTERS:
        text, notes = text[:MAX_CHARACTERS], "\n[cut here; ask for fewer pages]"
    return text_result(f"{path}:\n{text}{notes}")


def _argument(path: Path) -> str:
    """Never taken for an option."""
    return str(path.absolute())


async def _run(words: list[str], seconds: float) -> Printed:
    """Raises FileProblemError when it has not ended in time."""
    try:
        printed = await run_program(Program(words, seconds, _MAX_BYTES))
    except (OSError, ValueError) as error:
        raise FileProblemError(f"{words[0]} cannot be started: {reason_of(error)}") from error
    if printed.is_late:
        raise FileProblemError(f"{Path(words[0]).name} took longer than {seconds:g} s")
    return printed
