"""The options of a card in their stored form (H-310), and which of them an answer means.

Pure. A button carries the option's position as text; old cards and the administration name its
value (H-280). Anything else means nothing.
"""

from collections.abc import Sequence

from contract.content import Option
from contract.errors import BadContent
from contract.jsontext import dump, parse_value

MAX_OPTIONS_BYTES = 64 * 1024
MAX_LABEL = 80


def option(label: str, selected_label: str, value: str) -> Option:
    return Option(label=label, selected_label=selected_label, value=value)


def dump_options(options: Sequence[Option]) -> str:
    return dump([item.plain() for item in options])


def parse_options(text: str) -> tuple[Option, ...]:
    """Empty for what is no list; entries that are no options are left out."""
    try:
        value = parse_value(text, max_bytes=MAX_OPTIONS_BYTES)
    except BadContent:
        return ()
    found: list[Option] = []
    for item in value if isinstance(value, list) else []:
        try:
            found.append(Option.read(item))
        except BadContent:
            continue
    return tuple(found)


def choose(options: Sequence[Option], value: str) -> Option | None:
    """The option at that position, else the one with that value."""
    if value.isascii() and value.isdigit() and len(value) < 4 and int(value) < len(options):
        return options[int(value)]
    return next((item for item in options if item.value == value), None)


def typed(options: Sequence[Option], text: str) -> int | None:
    """The position that a person means who types a number from 1 on, or a label (C-64)."""
    words = text.strip().removeprefix("/").strip().casefold()
    if words.isascii() and words.isdigit() and len(words) < 4 and 1 <= int(words) <= len(options):
        return int(words) - 1
    matching = [
        place for place, item in enumerate(options) if item.label.strip().casefold() == words
    ]
    return matching[0] if len(matching) == 1 else None
