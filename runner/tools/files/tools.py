"""The tools read_file, write_file, edit_file and insert_lines (R-248, R-253, R-254).

What was read is remembered with its time of change, so that nothing is overwritten that the agent
has not seen as it is now.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
from runner.tools.files.changes import edited, inserted
from runner.tools.files.opening import FileProblemError, read_bytes, replace_file
from runner.tools.files.reading import MAX_LINES, read_for_model

MAX_EDIT_BYTES = 32 * 1024 * 1024
_PATH = {"type": "string", "description": "Absolute, or relative to the shell's folder."}
_TEXT = {"type": "string"}


def _schema(required: list[str], **properties: object) -> dict[str, object]:
    named = {"path": _PATH, **properties}
    return {"type": "object", "properties": named, "required": ["path", *required]}


READ = ToolSpec(
    "read_file",
    "Shows a file with line numbers (Read in other programs): text, notebooks, images, PDF, or "
    "what is in a folder. 2000 lines at a time unless limit says otherwise.",
    _schema(
        [],
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

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return None

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        try:
            return await self.work(arguments)
        except FileProblemError as problem:
            return error_result(str(problem))


class FileTools:
    """All of them, with one memory. ``protected`` may not be written, nor what is below it."""

    busy = False

    def __init__(self, cwd: Callable[[], Path], protected: tuple[Path, ...]) -> None:
        self._cwd = cwd
        self._protected = tuple(path.resolve() for path in protected)
        self._seen: dict[Path, int] = {}
        self._hinted: set[Path] = set()

    def tools(self) -> tuple[Tool, ...]:
        return (
            FileTool(READ, self._threaded(self._read)),
            FileTool(WRITE, self._threaded(self._write)),
            FileTool(EDIT, self._threaded(self._edit)),
            FileTool(INSERT, self._threaded(self._insert)),
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

    def _threaded(
        self, work: Callable[[Arguments], ToolResult]
    ) -> Callable[[Arguments], Awaitable[ToolResult]]:
        async def run(arguments: Arguments) -> ToolResult:
            return await asyncio.to_thread(work, arguments)

        return run

    def _read(self, arguments: Arguments) -> ToolResult:
        path = self._path(arguments)
        offset, limit = arguments.get("offset"), arguments.get("limit")
        first = int(offset) if isinstance(offset, int | float) else 1
        count = int(limit) if isinstance(limit, int | float) else MAX_LINES
        result = read_for_model(path, first, count)
        self._remember(path)
        hint = self._hint(path)
        return ToolResult((*result.parts, *text_result(hint).parts)) if hint else result

    def _write(self, arguments: Arguments) -> ToolResult:
        path = self._writable(arguments)
        content = str(arguments["content"])
        if path.exists():
            self._check_seen(path)
        replace_file(path, content.encode("utf-8", "replace"))
        self._remember(path)
        return text_result(f"Wrote {len(content.splitlines())} lines to {path}.")

    def _edit(self, arguments: Arguments) -> ToolResult:
        path, text = self._known_text(arguments)
        change = edited(
            text,
            str(arguments["old_text"]),
            str(arguments["new_text"]),
            everywhere=bool(arguments.get("replace_all")),
        )
        return self._store(path, change.text, change.shown)

    def _insert(self, arguments: Arguments) -> ToolResult:
        path, text = self._known_text(arguments)
        line = arguments["line"]
        assert isinstance(line, int | float)
        change = inserted(text, int(line), str(arguments["text"]))
        return self._store(path, change.text, change.shown)

    def _known_text(self, arguments: Arguments) -> tuple[Path, str]:
        path = self._writable(arguments)
        data, size = read_bytes(path, MAX_EDIT_BYTES)
        if size > MAX_EDIT_BYTES:
            raise FileProblemError(f"{path} is too large to be edited this way; use the shell")
        self._check_seen(path)
        try:
            return path, data.decode()
        except UnicodeDecodeError:
            raise FileProblemError(f"{path} is not UTF-8 text; use the shell") from None

    def _store(self, path: Path, text: str, shown: str) -> ToolResult:
        replace_file(path, text.encode())
        self._remember(path)
        return text_result(f"Changed {path}:\n{shown}")

    def _path(self, arguments: Arguments) -> Path:
        given = str(arguments["path"])
        if not given or "\0" in given or len(given) > 4096:
            raise FileProblemError("path is empty or not a path")
        return self._cwd() / given

    def _writable(self, arguments: Arguments) -> Path:
        path = self._path(arguments)
        real = path.resolve()
        if any(real == place or place in real.parents for place in self._protected):
            raise FileProblemError(f"{path} belongs to the session and cannot be changed")
        return path

    def _remember(self, path: Path) -> None:
        if path.is_file():
            self._seen[path.resolve()] = path.stat().st_mtime_ns

    def _check_seen(self, path: Path) -> None:
        seen = self._seen.get(path.resolve())
        if seen is None:
            raise FileProblemError(f"read {path} before you change it")
        if path.stat().st_mtime_ns != seen:
            raise FileProblemError(f"{path} has changed since you read it; read it again")

    def _hint(self, path: Path) -> str:
        """R-301: instructions of a subfolder are pointed at once."""
        folder = path if path.is_dir() else path.parent
        notes = folder / "CLAUDE.md"
        if folder in self._hinted or folder == self._cwd() or notes == path:
            return ""
        self._hinted.add(folder)
        return f"(This folder has a CLAUDE.md: {notes})" if notes.is_file() else ""
