"""Checks the flags of a request against what its command says it takes (N-54 to N-62).

Pure; called by ``dispatch`` after the scope has filled in what it fills in. Raises
InvalidArgsError with the flag, what is wrong, and what would be right.
"""

import difflib
import math
from collections.abc import Iterable, Mapping

from contract.errors import BadContent
from contract.jsontext import parse_value, storable
from nanoclaw.admin.arguments import Arguments, Value
from nanoclaw.admin.problems import InvalidArgsError
from nanoclaw.admin.registry import ArgumentSpec, Command, Kind

TRUE = frozenset({"true", "1", "yes"})
FALSE = frozenset({"false", "0", "no"})
MAX_TEXT = 64 * 1024
MAX_NUMBER = 2**53
"""Beyond it not every number can be told from its neighbour."""
NULL = "null"
"""The flag that empties others: ``--null model,effort``."""


def read_arguments(command: Command, args: Mapping[str, str | bool]) -> Arguments:
    """``args`` are normal. Raises InvalidArgsError."""
    specs = {spec.name: spec for spec in command.operation.arguments}
    given = dict(args)
    emptied = _emptied(given, specs)
    values: dict[str, Value] = {}
    for key, value in given.items():
        name, meant = _meant(key, value, specs)
        if name not in specs:
            raise InvalidArgsError(_unknown(command, key, specs))
        if name in values:
            raise InvalidArgsError(f"{specs[name].flag} and its opposite are both given")
        values[name] = _value(specs[name], meant)
    for name in emptied:
        if values.get(name) is not None:
            raise InvalidArgsError(f"{specs[name].flag} has a value and is emptied by --null")
        values[name] = None
    for spec in specs.values():
        if spec.required and values.get(spec.name) is None:
            raise InvalidArgsError(spec.missing or f"{spec.flag} is required")
    return Arguments(values)


def _emptied(given: dict[str, str | bool], specs: Mapping[str, ArgumentSpec]) -> tuple[str, ...]:
    """Takes ``--null`` out of the flags; what it names."""
    nullable = [spec.name for spec in specs.values() if spec.nullable]
    if not nullable or NULL in specs or NULL not in given:
        return ()
    listed = given.pop(NULL)
    if not isinstance(listed, str):
        raise InvalidArgsError(f"--null needs names of {_flags(nullable)}")
    names = tuple(name.strip().strip("-").replace("-", "_") for name in listed.split(","))
    for name in names:
        if name not in nullable:
            raise InvalidArgsError(f"--null {name[:100]}: only {_flags(nullable)} can be emptied")
    return names


def _meant(
    key: str, value: str | bool, specs: Mapping[str, ArgumentSpec]
) -> tuple[str, str | bool]:
    """``--no-x`` is x given as false (N-10)."""
    positive = key.removeprefix("no_")
    spec = specs.get(positive)
    if key in specs or positive == key or spec is None or value is not True:
        return key, value
    if spec.kind in (Kind.FLAG, Kind.BOOLEAN):
        return positive, "false"
    return key, value


def _value(spec: ArgumentSpec, value: str | bool) -> Value:
    if value is True and spec.kind not in (Kind.FLAG, Kind.BOOLEAN):
        raise InvalidArgsError(f"{spec.flag} needs a value")
    if value == "" and spec.nullable:
        return None
    text = "true" if value is True else "false" if value is False else value
    if len(text) > MAX_TEXT:
        raise InvalidArgsError(f"{spec.flag} is longer than {MAX_TEXT} characters")
    if "\0" in text or text != storable(text):
        raise InvalidArgsError(f"{spec.flag} has a character that cannot be stored")
    read = _of_kind(spec, text)
    if spec.choices and read not in spec.choices:
        raise InvalidArgsError(f"{spec.flag} must be one of: {', '.join(spec.choices)}")
    return read


def _of_kind(spec: ArgumentSpec, text: str) -> Value:
    match spec.kind:
        case Kind.TEXT:
            return _text(spec, text)
        case Kind.FLAG | Kind.BOOLEAN:
            return _truth(spec, text)
        case Kind.NUMBER | Kind.INTEGER:
            return _number(spec, text)
        case Kind.JSON:
            return _json(spec, text)


def _text(spec: ArgumentSpec, text: str) -> str:
    if not text and spec.required:
        raise InvalidArgsError(spec.missing or f"{spec.flag} is required")
    if not text and not spec.nullable:
        raise InvalidArgsError(f"{spec.flag} cannot be empty")
    return text


def _truth(spec: ArgumentSpec, text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise InvalidArgsError(f"{spec.flag} must be true or false")


def _number(spec: ArgumentSpec, text: str) -> int | float:
    kind = "an integer" if spec.kind is Kind.INTEGER else "a number"
    try:
        number: int | float = int(text) if spec.kind is Kind.INTEGER else float(text)
    except ValueError:
        raise InvalidArgsError(f"{spec.flag} must be {kind}{_range(spec)}") from None
    if not math.isfinite(number) or abs(number) > MAX_NUMBER or not _is_within(spec, number):
        raise InvalidArgsError(f"{spec.flag} must be {kind}{_range(spec)}")
    return number


def _is_within(spec: ArgumentSpec, number: float) -> bool:
    above = spec.minimum is None or number >= spec.minimum
    return above and (spec.maximum is None or number <= spec.maximum)


def _range(spec: ArgumentSpec) -> str:
    if spec.minimum is not None and spec.maximum is not None:
        return f" from {spec.minimum:g} to {spec.maximum:g}"
    if spec.minimum is not None:
        return f" of at least {spec.minimum:g}"
    return f" of at most {spec.maximum:g}" if spec.maximum is not None else ""


def _json(spec: ArgumentSpec, text: str) -> Value:
    try:
        value = parse_value(text, max_bytes=4 * MAX_TEXT)
    except BadContent as error:
        raise InvalidArgsError(f"{spec.flag} is no usable JSON: {error}") from None
    assert value is None or isinstance(value, str | int | float | bool | list | dict)
    return value


def _unknown(command: Command, key: str, specs: Mapping[str, ArgumentSpec]) -> str:
    shown = "--" + key[:100].replace("_", "-")
    if not specs:
        return f"unknown flag {shown}; {command.words} takes none"
    near = difflib.get_close_matches(key, list(specs), n=1, cutoff=0.7)
    hint = f"did you mean {specs[near[0]].flag}? " if near else ""
    return f"unknown flag {shown}; {hint}{command.words} takes: {_flags(specs)}"


def _flags(names: Iterable[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)
