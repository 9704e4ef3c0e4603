"""Compact JSON text, written and read with limits.

Compact is part of the contract: older readers search rows for ``"questionId":"…"`` (H-305).
Reading is bounded in bytes and depth, because one side of every file is hostile; whatever is
wrong with a text ends as BadContent and never as another exception.
"""

import json
from collections.abc import Mapping

from contract.errors import BadContent

MAX_DEPTH = 64


def dump(value: object) -> str:
    """JSON without spaces, non-ASCII raw. Lone surrogates become U+FFFD: SQLite refuses them."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadContent(f"value cannot be written as JSON: {error}") from error
    return storable(text)


def storable(text: str) -> str:
    """The text with lone surrogates replaced, so that it can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def parse_object(text: object, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """The JSON object in ``text``; raises BadContent."""
    value = parse_value(text, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise BadContent("JSON text is not an object")
    return value


def parse_value(text: object, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> object:
    """Any JSON value in ``text``; raises BadContent."""
    if not isinstance(text, str):
        raise BadContent("JSON text is not text")
    if len(text) > max_bytes or (
        not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > max_bytes
    ):
        raise BadContent(f"JSON text is over {max_bytes} bytes")
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadContent(f"not JSON: {error}") from error
    # Counting brackets first keeps the walk off the path of nearly every message.
    if text.count("{") + text.count("[") > max_depth and _depth(value) > max_depth:
        raise BadContent(f"JSON text is nested deeper than {max_depth}")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    deepest = 0
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        children: object
        if isinstance(item, Mapping):
            children = item.values()
        elif isinstance(item, list):
            children = item
        else:
            continue
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in children)
    return deepest
