"""The tools glob and grep (R-255), with ripgrep where it is, else with a program of our own.

Both find the same: ignore files are respected, links are not followed, files that are no text are
left out. Time, output and the number of lines are limited, and what was left out is said.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
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
from runner.tools.running import Printed, Program, run_program
from runner.tools.search.commands import own_environment, own_words, ripgrep_words
from runner.tools.search.globbing import wanted
from runner.tools.search.hits import GAP
from runner.tools.search.request import BadSearchError, Mode, Search, read_glob, read_grep

SECONDS = 30.0
MAX_PATHS, MOST_PATHS = 200, 2000
MAX_LINES, MOST_LINES = 250, 2500
"""Unless the call asks for more, and at most."""
MAX_CHARACTERS = 30_000
MAX_BYTES = 8 * 1024 * 1024
MAX_LINE = 600
_MAX_PATH = 4096
_PATH = {"type": "string", "description": "Where to look; the shell's folder if left out."}
_LIMIT = {"type": "integer", "minimum": 1, "description": "How many at most."}

GLOB = ToolSpec(
    "glob",
    "Finds files by a pattern such as *.py (anywhere) or src/**/*.py (below the folder), newest "
    "first (Glob in other programs). What ignore files leave out is left out.",
    {
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "path": _PATH, "limit": _LIMIT},
        "required": ["pattern"],
    },
    read_only=True,
    aliases=("Glob",),
)
GREP = ToolSpec(
    "grep",
    "Searches files for a regular expression (Grep in other programs): names of the files, the "
    "lines themselves, or their number.",
    {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "path": _PATH,
            "glob": {"type": "string", "description": "Only files like this, such as *.md."},
            "mode": {"type": "string", "enum": ["files", "content", "count"]},
            "context": {"type": "integer", "minimum": 0, "description": "Lines around each."},
            "ignore_case": {"type": "boolean"},
            "multiline": {"type": "boolean"},
            "limit": _LIMIT,
        },
        "required": ["pattern"],
    },
    read_only=True,
    aliases=("Grep",),
)


@dataclass(frozen=True, slots=True)
class Searcher:
    """Where searches begin, what does them (None: our own program), and for how long at most."""

    cwd: Callable[[], Path]
    ripgrep: str | None
    seconds: float = SECONDS

    async def run(self, search: Search, root: Path) -> Printed:
        """Raises BadSearchError when it cannot be done."""
        folder = root if root.is_dir() else root.parent
        if self.ripgrep is not None:
            words, environment = ripgrep_words(self.ripgrep, search, root), None
        else:
            words, environment = own_words(search, root), own_environment()
        try:
            return await run_program(Program(words, self.seconds, MAX_BYTES, folder, environment))
        except (OSError, ValueError) as error:
            raise BadSearchError(f"the search cannot be started: {error}") from error

    def root(self, arguments: Arguments) -> Path:
        """Raises BadSearchError."""
        given = str(arguments.get("path") or ".")
        try:
            root = Path(os.path.normpath(self.cwd() / given))
            if len(given) <= _MAX_PATH and root.exists():
                return root
        except (OSError, ValueError):
            pass
        raise BadSearchError(f"there is no file or folder {given[:300]}")


class SearchTools:
    def __init__(self, cwd: Callable[[], Path], program: str | None = None) -> None:
        """``program`` None: ripgrep if it is installed; empty: never."""
        found = shutil.which("rg") if program is None else program
        self._searcher = Searcher(cwd, found or None)

    def tools(self) -> tuple[Tool, ...]:
        return (GlobTool(self._searcher), GrepTool(self._searcher))


@dataclass(frozen=True, slots=True)
class GlobTool:
    searcher: Searcher
    spec: ToolSpec = GLOB

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return self.searcher.seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        try:
            root = self.searcher.root(arguments)
            if not root.is_dir():
                raise BadSearchError(f"{root} is not a folder")
            search = read_glob(_below(arguments, root))
            printed = await self.searcher.run(Search(), root)
        except BadSearchError as problem:
            return error_result(str(problem))
        paths = await asyncio.to_thread(_newest_first, printed.output, root, search.only)
        limit = _limit(arguments, MAX_PATHS, MOST_PATHS)
        notes = _notes(printed, max(len(paths) - limit, 0), "files")
        return _result(paths[:limit], notes, "(no file matches)")


@dataclass(frozen=True, slots=True)
class GrepTool:
    searcher: Searcher
    spec: ToolSpec = GREP

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return self.searcher.seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        try:
            root = self.searcher.root(arguments)
            search = read_grep(arguments)
            printed = await self.searcher.run(search, root)
        except BadSearchError as problem:
            return error_result(str(problem))
        if printed.complaint and not printed.output:
            return error_result(printed.complaint[:1000])
        lines = await asyncio.to_thread(_lines, printed.output, root, search)
        limit = _limit(arguments, MAX_LINES, MOST_LINES)
        notes = _notes(printed, max(len(lines) - limit, 0), "lines")
        return _result(lines[:limit], notes, "(nothing found)")


def _below(arguments: Arguments, root: Path) -> Arguments:
    """Patterns are sometimes written with the folder before them."""
    pattern = str(arguments["pattern"])
    return {"pattern": pattern.removeprefix(f"{root}/")}


def _newest_first(output: bytes, root: Path, pattern: str) -> list[str]:
    names = wanted(pattern)
    paths = os.fsdecode(output).split("\0")[:-1]
    found = [path for path in paths if names.matches(_parts(path, root))]
    return sorted(found, key=_changed_at, reverse=True)


def _lines(output: bytes, root: Path, search: Search) -> list[str]:
    """Of files with wanted names only."""
    only = wanted(search.only) if search.only and root.is_dir() else None
    ends = "\0" if search.mode is Mode.FILES else "\n"
    lines: list[str] = []
    for line in os.fsdecode(output).split(ends)[:-1]:
        path, nul, rest = line.partition("\0")
        if not nul and search.mode is not Mode.FILES:
            lines += [GAP] if line == GAP and lines and lines[-1] != GAP else []
        elif only is None or only.matches(_parts(path, root)):
            lines.append(f"{path}:{rest}"[: len(path) + MAX_LINE] if rest else path)
    return lines[:-1] if lines and lines[-1] == GAP else lines


def _parts(path: str, root: Path) -> Sequence[str]:
    return Path(path).parts[len(root.parts) :]


def _notes(printed: Printed, more: int, what: str) -> list[str]:
    """What was left out, and why."""
    notes = [f"[{more} more {what}]"] if more else []
    if printed.is_late:
        notes.append("[the search was ended at its time limit; look in a smaller folder]")
    if printed.is_full:
        notes.append("[there is far too much; be more specific]")
    return notes


def _result(lines: Iterable[str], notes: list[str], nothing: str) -> ToolResult:
    shown: list[str] = []
    left = MAX_CHARACTERS
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            notes = [*notes, f"[cut at {MAX_CHARACTERS} characters]"]
            break
        shown.append(_fit(line))
    return text_result("\n".join([*(shown or [nothing]), *notes]))


def _fit(line: str) -> str:
    """Bytes that are no text are marked; a name may hold the end of a line."""
    text = line if line.isascii() else os.fsencode(line).decode("utf-8", "replace")
    return text.replace("\n", "\\n")


def _limit(arguments: Arguments, usual: int, most: int) -> int:
    given = arguments.get("limit")
    return min(int(given), most) if isinstance(given, int | float) and given >= 1 else usual


def _changed_at(path: str) -> float:
    try:
        return Path(path).lstat().st_mtime
    except OSError:
        return 0.0
