"""Reads and writes dataclasses as JSON objects, by their type hints.

Used by content, actions, stored and config, so that each shape is declared once. Keys are the
field names in camelCase. Unknown keys, and known ones of a wrong type, are kept in ``extra`` and
written back unchanged (H-306). A field without default is required and always written, also as
null; a field that holds its default is left out.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Self, TypeVar, cast

from contract.errors import BadContent


class Unset(Enum):
    """For fields where "not given" and null mean different things."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Base of every declared JSON object. ``TAG`` is a key with a fixed value, if there is one."""

    TAG: ClassVar[tuple[str, str] | None] = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object) -> Self:
        """Raises BadContent when a required field is missing or of a wrong type."""
        if not isinstance(value, dict):
            raise BadContent(f"{cls.__name__} is not an object")
        return _read(cls, value)

    def wrong_keys(self) -> tuple[str, ...]:
        """Declared keys whose values had a wrong type and are therefore in ``extra``."""
        return tuple(known.key for known in _fields(type(self)) if known.key in self.extra)

    def plain(self) -> dict[str, object]:
        """The JSON object, for ``jsontext.dump``."""
        return _plain(self)


class _WrongTypeError(Exception):
    """The value does not fit the field."""


_ShapeT = TypeVar("_ShapeT", bound=Shape)
_Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    key: str
    read: _Reader
    required: bool
    nullable: bool
    default: object


def _read(cls: type[_ShapeT], value: Mapping[str, object]) -> _ShapeT:
    values: dict[str, object] = {}
    rest: dict[str, object] = dict(value)
    if cls.TAG is not None:
        rest.pop(cls.TAG[0], None)
    for known in _fields(cls):
        if known.key in value:
            try:
                values[known.name] = known.read(value[known.key])
                del rest[known.key]
                continue
            except _WrongTypeError as error:
                if known.required and not known.nullable:
                    raise BadContent(f"{cls.__name__}: {known.key} has a wrong type") from error
        if known.required:
            if not known.nullable:
                raise BadContent(f"{cls.__name__}: {known.key} is missing")
            values[known.name] = None
    return cls(**values, extra=rest)


def _plain(shape: Shape) -> dict[str, object]:
    result: dict[str, object] = {}
    if shape.TAG is not None:
        result[shape.TAG[0]] = shape.TAG[1]
    for known in _fields(type(shape)):
        value = getattr(shape, known.name)
        if known.required or value != known.default:
            result[known.key] = _plain_value(value)
    result.update(shape.extra)
    return result


def _plain_value(value: object) -> object:
    if isinstance(value, Shape):
        return _plain(value)
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain_value(item) for key, item in value.items()}
    return value


def _fields(cls: type[Shape]) -> tuple[_Field, ...]:
    """What the class declares; worked out once per class."""
    known = _KNOWN.get(cls)
    if known is None:
        known = _KNOWN[cls] = tuple(_declared_fields(cls))
    return known


_KNOWN: dict[type[Shape], tuple[_Field, ...]] = {}


def _declared_fields(cls: type[Shape]) -> Iterator[_Field]:
    hints = typing.get_type_hints(cls)
    for declared in dataclasses.fields(cls):
        if declared.name == "extra":
            continue
        hint = hints[declared.name]
        required = (
            declared.default is dataclasses.MISSING
            and declared.default_factory is dataclasses.MISSING
        )
        default: object = declared.default
        if declared.default_factory is not dataclasses.MISSING:
            default = declared.default_factory()
        key = _camel_case(declared.name)
        nullable = type(None) in typing.get_args(hint)
        yield _Field(declared.name, key, _reader(hint), required, nullable, default)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _reader(hint: object) -> _Reader:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _union_reader(typing.get_args(hint))
    if origin is tuple:
        return _list_reader(_reader(typing.get_args(hint)[0]))
    if origin is not None:
        return _mapping_reader(_reader(typing.get_args(hint)[1]))
    if hint is object:
        return lambda value: value
    return _class_reader(cast("type", hint))


def _class_reader(cls: type) -> _Reader:
    if issubclass(cls, Shape):
        return lambda value: _read_nested(cls, value)
    if issubclass(cls, Enum):
        return lambda value: _read_enum(cls, value)
    if cls is float:
        return _read_float
    return lambda value: _expect(cls, value)


def _union_reader(members: tuple[object, ...]) -> _Reader:
    readers = [_reader(member) for member in members if member not in (type(None), Unset)]
    nullable = type(None) in members

    def read(value: object) -> object:
        if value is None and nullable:
            return None
        for read_member in readers:
            try:
                return read_member(value)
            except _WrongTypeError:
                continue
        raise _WrongTypeError

    return read


def _list_reader(read_item: _Reader) -> _Reader:
    def read(value: object) -> object:
        if not isinstance(value, list):
            raise _WrongTypeError
        return tuple(read_item(item) for item in value)

    return read


def _mapping_reader(read_item: _Reader) -> _Reader:
    def read(value: object) -> object:
        if not isinstance(value, dict):
            raise _WrongTypeError
        return {key: read_item(item) for key, item in value.items()}

    return read


def _read_nested(cls: type[Shape], value: object) -> Shape:
    try:
        return cls.read(value)
    except BadContent as error:
        raise _WrongTypeError from error


def _read_float(value: object) -> float:
    try:
        return float(cast("float", _expect((int, float), value)))
    except OverflowError as error:
        raise _WrongTypeError from error


def _read_enum(cls: type[Enum], value: object) -> Enum:
    try:
        return cls(value)
    except ValueError as error:
        raise _WrongTypeError from error


def _expect(kind: type | tuple[type, ...], value: object) -> object:
    # bool is an int to Python, and never one in our shapes.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _WrongTypeError
    return value
