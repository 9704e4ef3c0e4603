"""Checks arguments against the part of JSON Schema that tools use (R-152, R-250).

Pure. Understands type (one or several), required, properties, items, enum, const, and limits of
numbers, texts and lists; passes over everything else, because schemas of MCP servers may hold
anything. Neither a strange schema nor a strange value makes it fail: the answer is the arguments
to use, or a sentence that names the field and what is expected of it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAX_DEPTH = 32
"""Deeper parts of a schema are passed over, so that a hostile one cannot exhaust the stack."""
_MAX_SHOWN = 60

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fault:
    """``str()`` is what the model reads."""

    field: str
    expected: str
    given: str

    def __str__(self) -> str:
        where = f"field '{self.field}'" if self.field else "the arguments"
        return f"{where}: expected {self.expected}, got {self.given}"


@dataclass(frozen=True, slots=True)
class Checked:
    """``arguments`` have whole numbers as integers, and no null where a field may be left out."""

    arguments: Mapping[str, object]


def check_arguments(schema: Schema, value: object) -> Checked | Fault:
    """``value`` is what the model gave: any JSON value; None counts as no arguments."""
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        return Fault("", "a JSON object", _shown(value))
    try:
        found = _object(schema, value, "", 0)
    except _FaultError as error:
        return error.fault
    return Checked(found)


class _FaultError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def _check(schema: object, value: object, field: str, depth: int) -> object:
    """The value to use; raises _FaultError."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return value
    types = _types(schema)
    if types and not any(_TYPES[name](value) for name in types):
        raise _FaultError(Fault(field, " or ".join(_NAMES[name] for name in types), _shown(value)))
    _check_choice(schema, value, field)
    if isinstance(value, Mapping):
        return _object(schema, value, field, depth)
    if isinstance(value, list):
        return _list(schema, value, field, depth)
    if isinstance(value, str):
        _check_range(schema, ("minLength", "maxLength"), len(value), (field, "characters"))
    elif _is_number(value) and isinstance(value, int | float):
        _check_number(schema, value, field)
        if isinstance(value, float) and "integer" in types and value.is_integer():
            return int(value)
    return value


def _types(schema: Schema) -> list[str]:
    """Known names only; with an unknown one among them everything is allowed."""
    given = schema.get("type")
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple):
        return []
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    return known if len(known) == len(names) else []


def _object(
    schema: Schema, value: Mapping[object, object], field: str, depth: int
) -> dict[str, object]:
    given = {str(key): item for key, item in value.items()}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        properties = {}
    required = [name for name in _sequence(schema.get("required")) if isinstance(name, str)]
    for name in required:
        if name not in given:
            expected = _expected(properties.get(name))
            raise _FaultError(Fault(_join(field, name), expected, "nothing (it is required)"))
    result: dict[str, object] = {}
    for name, item in given.items():
        part = properties.get(name)
        if item is None and name not in required and not _allows_null(part):
            continue
        result[name] = _check(part, item, _join(field, name), depth + 1)
    return result


def _list(schema: Schema, value: list[object], field: str, depth: int) -> list[object]:
    _check_range(schema, ("minItems", "maxItems"), len(value), (field, "items"))
    items = schema.get("items")
    return [_check(items, item, f"{field}[{at}]", depth + 1) for at, item in enumerate(value)]


def _check_choice(schema: Schema, value: object, field: str) -> None:
    choices = _sequence([schema["const"]] if "const" in schema else schema.get("enum"))
    if choices and not any(_same(choice, value) for choice in choices):
        shown = ", ".join(_shown(choice) for choice in choices[:20])
        raise _FaultError(Fault(field, f"one of {shown}", _shown(value)))


def _check_number(schema: Schema, value: int | float, field: str) -> None:
    rules: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
        ("minimum", "at least", lambda limit: value >= limit),
        ("maximum", "at most", lambda limit: value <= limit),
        ("exclusiveMinimum", "more than", lambda limit: value > limit),
        ("exclusiveMaximum", "less than", lambda limit: value < limit),
    )
    for key, words, holds in rules:
        limit = schema.get(key)
        if isinstance(limit, int | float) and _is_number(limit) and not holds(limit):
            raise _FaultError(Fault(field, f"{words} {limit}", _shown(value)))


def _check_range(
    schema: Schema, keys: tuple[str, str], size: int, named: tuple[str, str]
) -> None:
    field, unit = named
    low, high = schema.get(keys[0]), schema.get(keys[1])
    if _is_integer(low) and isinstance(low, int | float) and size < low:
        raise _FaultError(Fault(field, f"at least {low} {unit}", str(size)))
    if _is_integer(high) and isinstance(high, int | float) and size > high:
        raise _FaultError(Fault(field, f"at most {high} {unit}", str(size)))


def _allows_null(schema: object) -> bool:
    """Also when the schema does not say: what we do not understand is passed on."""
    if not isinstance(schema, Mapping):
        return True
    types = _types(schema)
    return "null" in types if types else "enum" not in schema


def _expected(schema: object) -> str:
    types = _types(schema) if isinstance(schema, Mapping) else []
    return " or ".join(_NAMES[name] for name in types) or "a value"


def _join(field: str, name: str) -> str:
    name = name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..."
    return f"{field}.{name}" if field else name


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: object) -> str:
    """Short; the model knows what it gave."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        short = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}..."
        return f"the text {ascii(short) if not short.isprintable() else repr(short)}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large number"
    return str(value)


_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
