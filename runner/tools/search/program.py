"""Searches a folder without ripgrep: ``python -m runner.tools.search.program PATH SEARCH``.

A process of its own, because a regular expression may take forever and nothing but the end of its
process ends it. Prints what ripgrep prints with the options of ``commands``: a whole path, a NUL,
and a line unless only files are asked for. The standard library only.
"""

import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.tools.search.globbing import wanted
from runner.tools.search.hits import GAP, compiled, lines_found, text_of
from runner.tools.search.request import Mode, Search, parse_search
from runner.tools.search.walking import Found, walk

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Of a larger file only this much is searched."""
MAX_MEMORY = 1024 * 1024 * 1024
FAILED = 2


def main(root: Path, search: Search) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    try:
        pattern = None if search.pattern is None else compiled(search)
    except (re.error, OverflowError, RecursionError) as error:
        sys.stderr.write(f"pattern is not a regular expression: {error}\n")
        return FAILED
    is_first = True
    for found in _files(root, search):
        name = str(found.path)
        if pattern is None:
            _print([f"{name}\0"])
        elif (text := _text(found.path)) is not None:
            lines = lines_found(text, pattern, search)
            has_gap = bool(lines and search.context) and not is_first
            is_first = is_first and not lines
            _print([f"{GAP}\n"] if has_gap and search.mode is Mode.CONTENT else [])
            _print([_printed(name, line, search.mode) for line in lines])
    return 0


def _files(root: Path, search: Search) -> Iterator[Found]:
    """A file that was named is searched whatever ignore files say."""
    if root.is_file():
        yield Found(root, ())
        return
    only = wanted(search.only) if search.only else None
    for found in walk(root):
        if only is None or only.matches(found.parts):
            yield found


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return text_of(file.read(MAX_FILE_BYTES))
    except (OSError, MemoryError):
        return None


def _printed(name: str, line: str, mode: Mode) -> str:
    if mode is Mode.FILES:
        return f"{name}\0"
    return f"{line}\n" if line == GAP else f"{name}\0{line}\n"


def _print(texts: list[str]) -> None:
    """At once, so that what was found before a time limit is not lost."""
    out = sys.stdout.buffer
    for text in texts:
        out.write(text.encode("utf-8", "surrogateescape"))
    if texts:
        out.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), parse_search(sys.argv[2])))
