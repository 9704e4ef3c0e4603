"""CLAUDE.md files with their imports: the one place where instructions become one text (R-211).

``Expansion`` reads one file after the other for one set of instructions and keeps the bounds of
all of them together (R-299, R-302). Nothing here fails: what cannot be read is named in the text.
Only regular files are opened and never waited for, because the agent may put anything into its
folder. A file that imports itself, directly or not, is left out where it would repeat.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.instructions.markdown import Line, code_spans, is_within, prose_and_code
from runner.instructions.places import Places

MAX_FILE_BYTES = 200 * 1024
MAX_DEPTH = 5
MAX_IMPORTS = 200
"""Of one set of instructions: five levels of ten imports each would be a hundred thousand."""
MAX_LOOKUPS = 4000
"""Words that might name a file; after that they are just words."""
_IMPORT = re.compile(r"(?:(?<=\s)|^)@(?!@)((?:[^\s\\]|\\ )+)")
_AFTER_WORD = ".,;:!?)]}\"'*_>"
"""May follow the name of a file in a sentence."""
_LOOKS_LIKE_A_PATH = re.compile(r"[./~]")


class UnreadableError(Exception):
    """``args[0]`` says why, in words for the agent."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The file that a text is from; ``chain`` are the files that led to it, itself included."""

    path: Path
    chain: tuple[Path, ...]


class Expansion:
    """One set of instructions being read. Not for use by several threads."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._imports = 0
        self._lookups = 0
        self._composed: set[Path] = set()

    def expand(self, path: Path) -> str | None:
        """The file's text with its imports; None if there is no such file or nothing in it."""
        real = _real(path)
        try:
            text = read_text(path)
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            return f"(not read, {error.args[0]}: {path})"
        return self._expand(text, _Source(path, (real,))).strip() or None

    def _expand(self, text: str, source: _Source) -> str:
        result: list[str] = []
        mentioned: dict[Path, str] = {}
        for line in prose_and_code(text):
            whole = None if line.is_code else _IMPORT.fullmatch(line.text.strip())
            if whole is not None:
                result.append(self._whole_line(whole[1], line, source))
                continue
            result.append(line.text)
            if not line.is_code and "@" in line.text:
                for path, found in self._mentions(line.text, source, mentioned):
                    mentioned[path] = found
        parts = ["\n".join(result)]
        parts += [f"Contents of {path}:\n\n{found}" for path, found in mentioned.items() if found]
        return "\n\n".join(parts)

    def _whole_line(self, name: str, line: Line, source: _Source) -> str:
        path = self._resolve(name, source)
        found = self._import(path, source)
        if found is not None:
            return found
        if not _LOOKS_LIKE_A_PATH.search(name):
            return line.text  # somebody's name
        return f"(not found: {_unescaped(name)})"

    def _mentions(
        self, line: str, source: _Source, known: dict[Path, str]
    ) -> Iterator[tuple[Path, str]]:
        """Files named inside a sentence; their contents follow the text, which stays as it is."""
        spans = code_spans(line)
        for match in _IMPORT.finditer(line):
            if is_within(spans, match.start()):
                continue
            for name in dict.fromkeys((match[1], match[1].rstrip(_AFTER_WORD))):
                path = self._resolve(name, source)
                if not name or path in known:
                    break
                found = self._import(path, source)
                if found is not None:
                    yield path, found
                    break

    def _resolve(self, name: str, source: _Source) -> Path:
        plain = _unescaped(name)
        if plain == "~" or plain.startswith("~/"):
            return self._places.home / plain[2:]
        if plain.startswith("/"):
            return self._places.locate(Path(plain))
        return source.path.parent / plain

    def _import(self, path: Path, source: _Source) -> str | None:
        """The expanded text, or a note about it; None if there is no such file."""
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            return None
        target = path
        renamed = self._places.renamed(path)
        if renamed is not None and _is_file(renamed):
            if renamed in self._composed:
                return ""
            target = renamed
        elif not _is_file(path):
            return None
        real = _real(target)
        if real in source.chain:
            return ""
        if len(source.chain) > MAX_DEPTH:
            return f"(not imported, nested deeper than {MAX_DEPTH} files: {path})"
        if self._imports >= MAX_IMPORTS:
            return f"(not imported, more than {MAX_IMPORTS} imports: {path})"
        self._imports += 1
        self._note_composed(target)
        try:
            text = read_text(target)
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            return f"(not imported, {error.args[0]}: {path})"
        return self._expand(text, _Source(target, (*source.chain, real))).strip("\n")

    def _note_composed(self, target: Path) -> None:
        """What the composed file has brought in is not repeated for a file with old names."""
        if target == self._places.base or target.parent == self._places.fragments:
            self._composed.add(target)


def read_text(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """A regular file of text. Raises FileNotFoundError and UnreadableError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (ValueError, OSError) as error:
        if isinstance(error, PermissionError):
            raise UnreadableError("reading is not permitted") from error
        raise FileNotFoundError(errno.ENOENT, "cannot be opened", str(path)) from error
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
        try:
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise UnreadableError("it cannot be read") from error
    if len(content) > max_bytes:
        raise UnreadableError(f"larger than {max_bytes // 1024} KB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError("not a text file") from error
    if "\0" in text:
        raise UnreadableError("not a text file")
    return text.replace("\r\n", "\n")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _real(path: Path) -> Path:
    """Links followed, so that a cycle through links is one too."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path


def _unescaped(name: str) -> str:
    return name.replace("\\ ", " ")
