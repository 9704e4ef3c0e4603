"""Checks arguments against a tool's schema: the part of JSON Schema that tools use. Pure.

Called by ``box`` before every call (R-152, R-250). Unknown fields and unknown keywords are let
through; what is checked is said with the field's name and what was expected.
"""

from collections.abc import Mapping

MAX_DEPTH = 20

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (Mapping,),
    "null": (type(None),),
}


def problem_of(value: object, schema: Mapping[str, object], name: str = "", depth: int = 0) -> str:
    """What is wrong, in one sentence; empty when nothing is."""
    where = name or "the arguments"
    if depth > MAX_DEPTH:
        return f"{where} is nested too deeply"
    wanted = schema.get("type")
    kinds = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(kinds, list) and not any(_is(value, kind) for kind in kinds):
        return f"{where} must be of type {' or '.join(map(str, kinds))}"
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return f"{where} must be one of {', '.join(map(repr, choices[:30]))}"
    if isinstance(value, Mapping):
        return _object_problem(value, schema, name, depth)
    if isinstance(value, list | tuple):
        return _array_problem(value, schema, name, depth)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _range_problem(value, schema, where)
    return ""


def _is(value: object, kind: object) -> bool:
    types = _TYPES.get(kind) if isinstance(kind, str) else None
    if types is None:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return isinstance(value, types)


def _object_problem(
    value: Mapping[str, object], schema: Mapping[str, object], name: str, depth: int
) -> str:
    required = schema.get("required")
    for key in required if isinstance(required, list) else []:
        if key not in value:
            return f"{_below(name, key)} is missing"
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return ""
    for key, item in value.items():
        below = properties.get(key)
        if isinstance(below, Mapping) and (
            problem := problem_of(item, below, _below(name, key), depth + 1)
        ):
            return problem
    return ""


def _array_problem(
    value: list[object] | tuple[object, ...],
    schema: Mapping[str, object],
    name: str,
    depth: int,
) -> str:
    items = schema.get("items")
    for number, item in enumerate(value if isinstance(items, Mapping) else ()):
        assert isinstance(items, Mapping)
        if problem := problem_of(item, items, f"{name}[{number}]", depth + 1):
            return problem
    return ""


def _range_problem(value: float, schema: Mapping[str, object], where: str) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and value < low:
        return f"{where} must be at least {low}"
    if isinstance(high, int | float) and value > high:
        return f"{where} must be at most {high}"
    return ""


def _below(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)
