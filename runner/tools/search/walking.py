"""All files below a folder that are not ignored, in order, without following links.

Part of the search without ripgrep; runs in a process of its own (``program``).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.tools.search.ignoring import Ignored, ignored_above

MAX_DEPTH = 200
NEVER = ".git"


@dataclass(frozen=True, slots=True)
class Found:
    """``parts`` below the folder where the search began."""

    path: Path
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    found: Found
    is_folder: bool
    ignored: Ignored
    """What is said in the folder that it is in, and above."""


def walk(root: Path) -> Iterator[Found]:
    """``root`` is absolute. What cannot be read is left out."""
    waiting = [_Entry(Found(root, ()), is_folder=True, ignored=ignored_above(root))]
    top = root.parts[1:]
    while waiting:
        entry = waiting.pop()
        if not entry.is_folder:
            yield entry.found
        elif len(entry.found.parts) < MAX_DEPTH:
            depth = len(top) + len(entry.found.parts)
            ignored = entry.ignored.below(entry.found.path, depth)
            waiting += reversed(list(_entries(entry.found, ignored, top)))


def _entries(folder: Found, ignored: Ignored, top: tuple[str, ...]) -> Iterator[_Entry]:
    """In order of their names; links are neither files nor folders."""
    try:
        with os.scandir(folder.path) as entries:
            known = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.is_symlink()
                and (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
            )
    except OSError:
        return
    for name, is_folder in known:
        parts = (*folder.parts, name)
        if name != NEVER and not ignored.ignores((*top, *parts), is_folder=is_folder):
            yield _Entry(Found(folder.path / name, parts), is_folder=is_folder, ignored=ignored)
