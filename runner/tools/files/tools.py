"""The tools read_file, write_file, edit_file and insert_lines (R-248, R-253, R-254).

What was read is remembered with its time of change and size, so that nothing is overwritten that
the agent has not seen as it is now.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from runner.toolbox.base import (
    Arguments,
    Tool,
    ToolCall,
    ToolResult,
    ToolSpec,
    error_result,
    text_result,
)
from runner.tools.files.changes import Change, edited, inserted, split_lines
from runner.tools.files.numbering import MAX_LINES, Window
from runner.tools.files.opening import (
    FileProblemError,
    Stamp,
    current_stamp,
    read_whole,
    reason_of,
    replace_file,
    similar,
)
from runner.tools.files.pdf import find_poppler
from runner.tools.files.reading import ReadRequest, Seen, read_for_model

MAX_EDIT_BYTES = 32 * 1024 * 1024
MAX_PATH = 4096
MAX_REMEMBERED = 10_000
SECONDS = 60.0
"""A file system that hangs: a mount whose server is gone."""
_PATH = {"type": "string", "description": "Absolute, or relative to the shell's folder."}
_TEXT = {"type": "string"}


def _schema(required: list[str], **properties: object) -> dict[str, object]:
    named = {"path": _PATH, **properties}
    return {"type": "object", "properties": named, "required": ["path", *required]}


READ = ToolSpec(
    "read_file",
    "Shows a file with line numbers (Read in other programs): text, notebooks, images, PDF, or "
    "what is in a folder. 2000 lines at a time unless limit says otherwise. Pages of a PDF come as "
    "text.",
    _schema(
        [],
        pages={"type": "string", "description": "Of a PDF: 3 or 2-5; all of it if left out."},
        offset={"type": "integer", "minimum": 1, "description": "First line."},
        limit={"type": "integer", "minimum": 1, "description": "How many lines."},
    ),
    read_only=True,
    aliases=("Read",),
)
WRITE = ToolSpec(
    "write_file",
    "Writes a whole file and the folders above it (Write in other programs). A file that exists "
    "must have been read before.",
    _schema(["content"], content=_TEXT),
    aliases=("Write",),
)
EDIT = ToolSpec(
    "edit_file",
    "Replaces old_text by new_text in a file that was read before (Edit in other programs). "
    "old_text must occur exactly once, unless replace_all is set.",
    _schema(
        ["old_text", "new_text"],
        old_text=_TEXT,
        new_text=_TEXT,
        replace_all={"type": "boolean"},
    ),
    aliases=("Edit",),
)
INSERT = ToolSpec(
    "insert_lines",
    "Inserts text after a line of a file that was read before; line 0 is the top.",
    _schema(["line", "text"], line={"type": "integer", "minimum": 0}, text=_TEXT),
)


@dataclass(frozen=True, slots=True)
class FileTool:
    """One of the four; ``work`` raises FileProblemError."""

    spec: ToolSpec
    work: Callable[[Arguments], Awaitable[ToolResult]]
    seconds: float = SECONDS

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return self.seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        """A thread that hangs in the file system cannot be ended; the call can."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self.work(arguments)
        except FileProblemError as problem:
            return error_result(str(problem))
        except TimeoutError:
            return error_result(
                f"the file system did not answer within {self.seconds:g} s; look whether anything "
                "was changed before you try again"
            )


class FileTools:
    """All of them, with one memory. ``protected`` may not be written, nor what is below it."""

    busy = False

    def __init__(self, cwd: Callable[[], Path], protected: tuple[Path, ...]) -> None:
        self._cwd = cwd
        self._protected = tuple(path.resolve() for path in protected)
        self._seen: dict[Path, Stamp] = {}
        self._hinted: dict[Path, None] = {}
        self._poppler = find_poppler()

    def tools(self) -> tuple[Tool, ...]:
        return (
            FileTool(READ, self._read),
            FileTool(WRITE, _threaded(self._write)),
            FileTool(EDIT, _threaded(self._edit)),
            FileTool(INSERT, _threaded(self._insert)),
        )

    def take_notes(self) -> tuple[str, ...]:
        return ()

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Nothing here happens by itself."""

    async def reset(self) -> None:
        self._seen.clear()
        self._hinted.clear()

    async def close(self) -> None:
        """Nothing is open."""

    async def _read(self, arguments: Arguments) -> ToolResult:
        path = self._path(arguments)
        window = Window(_count(arguments, "offset", 1), _count(arguments, "limit", MAX_LINES))
        request = ReadRequest(path, window, str(arguments.get("pages") or "").strip())
        seen = await read_for_model(request, self._poppler)
        hint = await asyncio.to_thread(self._after_reading, path, seen)
        parts = seen.result.parts
        return replace(seen.result, parts=(*parts, *text_result(hint).parts) if hint else parts)

    def _after_reading(self, path: Path, seen: Seen) -> str:
        if seen.stamp is not None and not seen.result.is_error:
            self._remember(_real(path), seen.stamp)
        return self._hint(path, is_folder=seen.stamp is None)

    def _write(self, arguments: Arguments) -> ToolResult:
        path, real = self._writable(arguments)
        known = None
        if current_stamp(real) is not None:
            known = self._known(path, real)
        content = str(arguments["content"])
        self._remember(real, replace_file(path, _encoded(content), known))
        count = len(split_lines(content))
        return text_result(f"Wrote {count} {'line' if count == 1 else 'lines'} to {path}.")

    def _edit(self, arguments: Arguments) -> ToolResult:
        path, real = self._writable(arguments)
        text, stamp = self._text(path, real)
        change = edited(
            text,
            _plain(arguments["old_text"]),
            _plain(arguments["new_text"]),
            everywhere=bool(arguments.get("replace_all")),
        )
        return self._store(path, real, change, stamp)

    def _insert(self, arguments: Arguments) -> ToolResult:
        path, real = self._writable(arguments)
        text, stamp = self._text(path, real)
        line = arguments["line"]
        assert isinstance(line, int | float)
        change = inserted(text, int(line), _plain(arguments["text"]))
        return self._store(path, real, change, stamp)

    def _text(self, path: Path, real: Path) -> tuple[str, Stamp]:
        """Bytes that are no UTF-8 are carried along, so that they stay as they are."""
        data, stamp = read_whole(path, MAX_EDIT_BYTES, "use the shell")
        if stamp != self._known(path, real):
            raise FileProblemError(f"{path} has changed since you read it; read it again")
        if b"\0" in data:
            raise FileProblemError(f"{path} is not UTF-8 text; use the shell")
        return data.decode("utf-8", "surrogateescape"), stamp

    def _store(self, path: Path, real: Path, change: Change, stamp: Stamp) -> ToolResult:
        data = change.text.encode("utf-8", "surrogateescape")
        self._remember(real, replace_file(path, data, stamp))
        shown = change.shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        places = f" in {change.count} places, the first" if change.count > 1 else ""
        return text_result(f"Changed {path}{places}:\n{shown}")

    def _path(self, arguments: Arguments) -> Path:
        given = str(arguments["path"])
        if not given.strip() or "\0" in given or len(given) > MAX_PATH:
            raise FileProblemError("path is empty or not a path")
        try:
            os.fsencode(given)
        except UnicodeEncodeError:
            raise FileProblemError("path has characters that no file name can have") from None
        return self._cwd() / given

    def _writable(self, arguments: Arguments) -> tuple[Path, Path]:
        path = self._path(arguments)
        real = _real(path)
        if any(_belongs(real, place) for place in self._protected):
            raise FileProblemError(f"{path} belongs to the session and cannot be changed")
        return path, real

    def _remember(self, real: Path, stamp: Stamp) -> None:
        self._seen.pop(real, None)
        self._seen[real] = stamp
        while len(self._seen) > MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _known(self, path: Path, real: Path) -> Stamp:
        """The file as it was read or written last; raises FileProblemError."""
        known = self._seen.get(real)
        if known is None and current_stamp(real) is not None:
            raise FileProblemError(f"read {path} before you change it")
        if known is None or current_stamp(real) is None:
            raise FileProblemError(f"there is no file {path}{similar(path)}")
        return known

    def _hint(self, path: Path, *, is_folder: bool) -> str:
        """R-301: instructions of a subfolder are pointed at once."""
        folder = path if is_folder else path.parent
        notes = folder / "CLAUDE.md"
        if folder in self._hinted or folder == self._cwd() or notes == path:
            return ""
        self._hinted[folder] = None
        while len(self._hinted) > MAX_REMEMBERED:
            del self._hinted[next(iter(self._hinted))]
        return f"(This folder has a CLAUDE.md: {notes})" if notes.is_file() else ""


def _threaded(
    work: Callable[[Arguments], ToolResult],
) -> Callable[[Arguments], Awaitable[ToolResult]]:
    async def run(arguments: Arguments) -> ToolResult:
        return await asyncio.to_thread(work, arguments)

    return run


def _count(arguments: Arguments, name: str, otherwise: int) -> int:
    given = arguments.get(name)
    return max(int(given), 1) if isinstance(given, int | float) else otherwise


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise FileProblemError(f"{path} cannot be reached: {reason_of(error)}") from error


def _belongs(real: Path, place: Path) -> bool:
    """Also the journals beside a database, which would be believed."""
    beside = real.parent == place.parent and real.name.startswith(f"{place.name}-")
    return real == place or place in real.parents or beside


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _plain(value: object) -> str:
    """Halves of characters, which would come out as bytes of their own."""
    return _encoded(str(value)).decode()
