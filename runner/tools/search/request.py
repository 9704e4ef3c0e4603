"""One search, as the tools ask for it and as it is passed on to the process that does it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from runner.toolbox.base import Arguments

MAX_PATTERN = 10_000
MAX_CONTEXT = 20


class Mode(StrEnum):
    """What grep tells of the files in which it found something."""

    FILES = "files"
    CONTENT = "content"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Search:
    """``pattern`` None: all files. ``only`` is a pattern for their paths; empty: all."""

    pattern: str | None = None
    only: str = ""
    mode: Mode = Mode.FILES
    context: int = 0
    ignore_case: bool = False
    multiline: bool = False


class BadSearchError(Exception):
    """Which argument is wrong, and how it should be."""


def read_grep(arguments: Arguments) -> Search:
    """Raises BadSearchError."""
    context = arguments.get("context")
    return Search(
        pattern=_text(arguments, "pattern"),
        only=_text(arguments, "glob"),
        mode=Mode(str(arguments.get("mode") or Mode.FILES)),
        context=min(int(context), MAX_CONTEXT) if isinstance(context, int | float) else 0,
        ignore_case=bool(arguments.get("ignore_case")),
        multiline=bool(arguments.get("multiline")),
    )


def read_glob(arguments: Arguments) -> Search:
    """Raises BadSearchError."""
    return Search(only=_text(arguments, "pattern"))


def dump_search(search: Search) -> str:
    return json.dumps(asdict(search))


def parse_search(text: str) -> Search:
    """The inverse; of our own making, so that nothing is checked."""
    fields: Mapping[str, object] = json.loads(text)
    return Search(**{**fields, "mode": Mode(str(fields["mode"]))})  # type: ignore[arg-type]  # see above


def _text(arguments: Arguments, name: str) -> str:
    text = str(arguments.get(name) or "")
    if len(text) > MAX_PATTERN:
        raise BadSearchError(f"{name} is longer than {MAX_PATTERN} characters")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise BadSearchError(f"{name} has characters that cannot be searched for")
    return text
