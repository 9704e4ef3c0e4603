"""Flags as people may see them on cards, in the audit and in logs: without secrets (N-41).

Pure. What is shown is otherwise exactly what runs. Values under names like ``token`` are hidden,
and so are all values inside ``--env``; the names stay.
"""

import json
import re
from collections.abc import Mapping

from nanoclaw.approvals import cards

_SECRET = re.compile(r"token|secret|password|passwd|key|credential", re.IGNORECASE)
_HARMLESS = frozenset({"keep_destination"})
"""Has the letters of a secret's name by chance."""
_LISTS = frozenset({"args"})
_OBJECTS = frozenset({"env", "headers"})


def masked(args: Mapping[str, str | bool]) -> dict[str, str | bool]:
    return {name: _masked(name, value) for name, value in args.items()}


def command_line(words: str, args: Mapping[str, str | bool]) -> str:
    """``ncl groups restart --id ag-1``, as it could be typed but for what is hidden."""
    parts = ["ncl", words]
    for name, value in masked(args).items():
        flag = "--" + name.replace("_", "-")
        parts.append(flag if value is True else f"{flag} {value}")
    return " ".join(parts)


def _masked(name: str, value: str | bool) -> str | bool:
    if isinstance(value, bool):
        return value
    if name in _OBJECTS:
        return _masked_object(value)
    if name in _LISTS:
        return _masked_list(value)
    if _SECRET.search(name) and name not in _HARMLESS:
        return cards.mask(value)
    return cards.without_secrets(value)


def _masked_object(text: str) -> str:
    value = _parsed(text)
    if not isinstance(value, dict):
        return cards.mask(text)
    return json.dumps(dict.fromkeys(value, cards.MASK), ensure_ascii=False)


def _masked_list(text: str) -> str:
    value = _parsed(text)
    if not isinstance(value, list):
        return cards.without_secrets(text)
    return json.dumps(cards.masked_arguments([str(item) for item in value]), ensure_ascii=False)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
