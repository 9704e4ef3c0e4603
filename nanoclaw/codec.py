"""Turns envelopes into JSON text and back, by the dataclasses of ``nanoclaw.events``.

Pure. Called by ``nanoclaw.link``. Field types are read once per class; unknown fields are
ignored, missing ones take the class's default, wrong types raise FrameError. Nothing that is not
declared in ``events`` can come out of ``decode``.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from contract.jsontext import storable
from nanoclaw.errors import NanoclawError
from nanoclaw.events import FRAMES, Envelope, Frame, Unsupported

_FRAME_TYPES: dict[str, type[Frame]] = {frame.__name__: frame for frame in FRAMES}


class FrameError(NanoclawError):
    """The bytes of a frame are not what the contract says; the connection must be closed."""


def encode(envelope: Envelope) -> bytes:
    """Compact JSON of one envelope. Fields that hold their default are left out."""
    message: dict[str, object] = {"t": type(envelope.body).__name__, "b": _plain(envelope.body)}
    if envelope.id is not None:
        message["i"] = envelope.id
    if envelope.re is not None:
        message["r"] = envelope.re
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def decode(payload: bytes) -> Envelope:
    """One envelope from its JSON text; raises FrameError."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("frame is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("frame is not an object")
    name, body = message.get("t"), message.get("b")
    if not isinstance(name, str):
        raise FrameError("frame has no type")
    request_id, answer_to = _optional_int(message.get("i")), _optional_int(message.get("r"))
    frame_type = _FRAME_TYPES.get(name)
    if frame_type is None:
        return Envelope(Unsupported(name[:64]), request_id, answer_to)
    return Envelope(_build(frame_type, body), request_id, answer_to)


def _optional_int(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise FrameError("frame number is not an integer")


def _plain(value: object) -> object:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    plain: dict[str, object] = {}
    for field in dataclasses.fields(typing.cast("typing.Any", value)):
        item = getattr(value, field.name)
        if item != field.default:
            plain[field.name] = _plain(item)
    return plain


_Reader = Callable[[object], object]
_T = TypeVar("_T")


def _build(cls: type[_T], value: object) -> _T:
    if not isinstance(value, dict):
        raise FrameError(f"{cls.__name__} is not an object")
    readers = _readers(cls)
    known = {key: readers[key](item) for key, item in value.items() if key in readers}
    try:
        return cls(**known)
    except TypeError as error:
        raise FrameError(f"{cls.__name__} lacks a field") from error


_READERS: dict[type[object], dict[str, _Reader]] = {}


def _readers(cls: type[object]) -> dict[str, _Reader]:
    """How each field of a class is read; worked out once per class."""
    readers = _READERS.get(cls)
    if readers is None:
        hints = typing.get_type_hints(cls)
        names = [field.name for field in dataclasses.fields(typing.cast("typing.Any", cls))]
        readers = _READERS[cls] = {name: _reader(hints[name]) for name in names}
    return readers


def _reader(hint: object) -> _Reader:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
        read_inner = _reader(inner)
        return lambda value: None if value is None else read_inner(value)
    if origin is tuple:
        read_item = _reader(typing.get_args(hint)[0])
        return lambda value: tuple(read_item(item) for item in _expect(list, value))
    if not isinstance(hint, type):
        raise TypeError(f"no reader for {hint!r}")
    if issubclass(hint, StrEnum):
        return lambda value: _enum(hint, value)
    if dataclasses.is_dataclass(hint):
        return lambda value: _build(hint, value)
    if hint is float:
        return lambda value: float(_expect((int, float), value))
    if hint is int:
        return _expect_int
    if hint is str:
        return lambda value: storable(_expect(str, value))
    return lambda value: _expect(hint, value)


def _enum(cls: type[StrEnum], value: object) -> StrEnum:
    try:
        return cls(_expect(str, value))
    except ValueError as error:
        raise FrameError(f"{value!r} is not a {cls.__name__}") from error


def _expect(kind: type[_T] | tuple[type[_T], ...], value: object) -> _T:
    if not isinstance(value, kind):
        raise FrameError(f"expected {kind}, got {type(value).__name__}")
    return value


def _expect_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FrameError(f"expected an integer, got {type(value).__name__}")
    return value
