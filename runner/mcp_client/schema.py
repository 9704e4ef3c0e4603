"""Makes a foreign tool's schema safe to send: one bad schema would fail every request (R-272).

Called by ``listing``. The Messages API refuses a whole request for a single tool whose schema is
not an object, combines alternatives at the top, has odd property names or is not valid JSON
Schema. Such a schema is replaced by one that allows anything, and its text goes into the tool's
description instead, so that a model can still fill it in.
"""

import json
import re
from collections.abc import Iterator, Mapping

MAX_CHARS = 20_000
"""Of one tool's schema as JSON; real ones have a few hundred."""

MAX_DEPTH = 40
ANYTHING: Mapping[str, object] = {"type": "object", "additionalProperties": True}

_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOT_AT_TOP = ("oneOf", "anyOf", "allOf")
_EXECUTED = ("pattern", "patternProperties")
"""Regular expressions of a stranger could keep whoever validates arguments busy for hours."""


def usable_schema(value: object) -> tuple[Mapping[str, object], str]:
    """The schema to declare, and why it is not the server's own (empty when it is)."""
    if not isinstance(value, dict):
        return ANYTHING, "is not an object"
    size = _size(value)
    if size is None:
        return ANYTHING, "cannot be written as text"
    if size > MAX_CHARS:
        return ANYTHING, f"is {size:,} characters long"
    schema = _without_expressions(value)
    schema.setdefault("type", "object")
    properties = schema.get("properties")
    if isinstance(properties, dict):
        # JSON Schema allows "true" for anything; the protocol wants an object in this place.
        schema["properties"] = {
            name: {} if part is True else part for name, part in properties.items()
        }
    if problem := _problem(schema):
        return ANYTHING, problem
    return schema, ""


def _size(value: object) -> int | None:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return len(text) if _depth(value) <= MAX_DEPTH else None


def _depth(value: object) -> int:
    """Counted without recursion."""
    deepest = 0
    waiting = [(value, 1)]
    while waiting and deepest <= MAX_DEPTH:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in _children(item)]
    return deepest


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _without_expressions(schema: dict[str, object]) -> dict[str, object]:
    """A copy; ``pattern`` as the name of a property stays."""

    def copied(value: object, *, names: bool) -> object:
        if isinstance(value, list):
            return [copied(item, names=False) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: copied(item, names=not names and key in ("properties", "$defs", "definitions"))
            for key, item in value.items()
            if names or key not in _EXECUTED
        }

    result = copied(schema, names=False)
    assert isinstance(result, dict)
    return result


def _problem(schema: dict[str, object]) -> str:
    if schema["type"] != "object":
        return "does not describe an object"
    if any(key in schema for key in _NOT_AT_TOP):
        return "combines alternatives"
    for part in _parts(schema):
        properties = part.get("properties")
        if isinstance(properties, dict):
            odd = [name for name in properties if not _PROPERTY.fullmatch(name)]
            if odd:
                return "has parameters with unusual names"
            if part is schema and not all(isinstance(item, dict) for item in properties.values()):
                return "has parameters without a description of their own"
        reference = part.get("$ref")
        if isinstance(reference, str) and not _resolves(reference, schema):
            return "refers to something that is not in it"
    return _invalid(schema)


def _parts(schema: object) -> Iterator[dict[str, object]]:
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
        waiting += _children(item)


def _resolves(reference: str, schema: dict[str, object]) -> bool:
    """Whether a pointer into the same document leads anywhere."""
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    place: object = schema
    for raw in reference[2:].split("/"):
        step = raw.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or step not in place:
            return False
        place = place[step]
    return True


def _invalid(schema: dict[str, object]) -> str:
    """Asks the validator that the mcp package brings along; imported late, it is slow to load."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return "is not valid JSON Schema"
    return ""
