"""The tools glob and grep (R-255), with ripgrep where it is, else with Python.

Both respect ignore files where ripgrep does the work; time and output are limited.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
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

SECONDS = 30.0
MAX_PATHS = 200
MAX_LINES = 250
MAX_CHARACTERS = 30_000
MAX_BYTES = 8 * 1024 * 1024
MAX_FILES = 50_000
_LINE = 500
_PATH = {"type": "string", "description": "Where to look; the shell's folder if left out."}
_LIMIT = {"type": "integer", "minimum": 1, "description": "How many at most."}

GLOB = ToolSpec(
    "glob",
    "Finds files by a pattern such as **/*.py (Glob in other programs), newest first.",
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


class SearchTools:
    def __init__(self, cwd: Callable[[], Path], program: str | None = None) -> None:
        self._cwd = cwd
        self._rg = shutil.which("rg") if program is None else program

    def tools(self) -> tuple[Tool, ...]:
        return (_Glob(self._cwd, self._rg), _Grep(self._cwd, self._rg))


class _Glob:
    spec = GLOB

    def __init__(self, cwd: Callable[[], Path], program: str | None) -> None:
        self._cwd = cwd
        self._rg = program

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return SECONDS

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        root = _root(arguments, self._cwd())
        if root is None:
            return error_result(f"there is no folder {arguments.get('path')}")
        pattern = str(arguments["pattern"])
        limit = _limit(arguments, MAX_PATHS)
        if self._rg:
            words = [self._rg, "--files", "--hidden", "--glob", "!.git", "--glob", pattern]
            text, _ = await _output([*words, "--", str(root)])
            found = [Path(line) for line in text.splitlines()]
        else:
            found = await asyncio.to_thread(lambda: list(_matching(root, pattern)))
        found.sort(key=_changed_at, reverse=True)
        lines = [str(path) for path in found[:limit]]
        if len(found) > limit:
            lines.append(f"[{len(found) - limit} more]")
        return text_result("\n".join(lines) or "(no file matches)")


class _Grep:
    spec = GREP

    def __init__(self, cwd: Callable[[], Path], program: str | None) -> None:
        self._cwd = cwd
        self._rg = program

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return SECONDS

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        root = _root(arguments, self._cwd())
        if root is None:
            return error_result(f"there is no file or folder {arguments.get('path')}")
        if self._rg:
            text, problem = await _output(_rg_words(self._rg, arguments, root))
            if problem and not text:
                return error_result(problem[:1000])
        else:
            try:
                text = await asyncio.to_thread(_grep_python, arguments, root)
            except re.error as error:
                return error_result(f"pattern is not a regular expression: {error}")
        lines = [line[:_LINE] for line in text.splitlines()]
        limit = _limit(arguments, MAX_LINES)
        more = [f"[{len(lines) - limit} more lines]"] if len(lines) > limit else []
        shown = "\n".join(lines[:limit])[:MAX_CHARACTERS]
        return text_result("\n".join([shown, *more]) if shown else "(nothing found)")


def _rg_words(program: str, arguments: Arguments, root: Path) -> list[str]:
    mode = arguments.get("mode") or "files"
    words = [program, "--sort", "path", "--hidden", "--glob", "!.git"]
    words += {"files": ["-l"], "count": ["-c"]}.get(str(mode), ["-n", "--no-heading", "-H"])
    if arguments.get("ignore_case"):
        words.append("-i")
    if arguments.get("multiline"):
        words += ["-U", "--multiline-dotall"]
    context = arguments.get("context")
    if mode == "content" and isinstance(context, int | float):
        words += ["-C", str(min(int(context), 20))]
    if arguments.get("glob"):
        words += ["--glob", str(arguments["glob"])]
    return [*words, "-e", str(arguments["pattern"]), "--", str(root)]


async def _output(words: list[str]) -> tuple[str, str]:
    """What the program printed, and what it complained of; ended after the time limit."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    data = b""
    try:
        async with asyncio.timeout(SECONDS):
            while len(data) < MAX_BYTES and (part := await process.stdout.read(65536)):
                data += part
            if len(data) >= MAX_BYTES:
                process.kill()
            problem = await process.stderr.read(4096)
            await process.wait()
    except TimeoutError:
        problem = f"the search was ended after {SECONDS:g} s".encode()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return data.decode("utf-8", "replace"), problem.decode("utf-8", "replace")


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    wanted = pattern if "/" in pattern else f"**/{pattern}"
    for number, path in enumerate(root.glob(wanted.lstrip("/"))):
        if number >= MAX_FILES:
            return
        if path.is_file() and ".git" not in path.parts:
            yield path


def _grep_python(arguments: Arguments, root: Path) -> str:
    flags = re.IGNORECASE if arguments.get("ignore_case") else 0
    flags |= re.DOTALL if arguments.get("multiline") else 0
    pattern = re.compile(str(arguments["pattern"]), flags)
    files = [root] if root.is_file() else _matching(root, str(arguments.get("glob") or "*"))
    mode = arguments.get("mode") or "files"
    lines: list[str] = []
    for path in sorted(files):
        lines += _hits(path, pattern, str(mode), whole=bool(arguments.get("multiline")))
        if len(lines) > MAX_LINES * 4:
            break
    return "\n".join(lines)


def _hits(path: Path, pattern: re.Pattern[str], mode: str, *, whole: bool) -> list[str]:
    try:
        text = path.read_bytes()[:MAX_BYTES].decode("utf-8", "replace")
    except OSError:
        return []
    if "\0" in text:
        return []
    if whole:
        numbers = [text.count("\n", 0, hit.start()) for hit in pattern.finditer(text)]
    else:
        numbers = [n for n, line in enumerate(text.splitlines()) if pattern.search(line)]
    if not numbers:
        return []
    if mode == "files":
        return [str(path)]
    if mode == "count":
        return [f"{path}:{len(numbers)}"]
    found = text.splitlines()
    return [f"{path}:{n + 1}:{found[n]}" for n in numbers if n < len(found)]


def _root(arguments: Arguments, cwd: Path) -> Path | None:
    path = cwd / str(arguments.get("path") or ".")
    root = Path(os.path.normpath(path))
    return root if root.exists() else None


def _limit(arguments: Arguments, highest: int) -> int:
    given = arguments.get("limit")
    return min(int(given), highest) if isinstance(given, int | float) and given >= 1 else highest


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
