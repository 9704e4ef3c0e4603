"""The lines of the send journal: one JSON object each, tagged by what happened.

Pure. Short field names, because every message writes two lines: ``d`` delivery id, ``p`` part
index, ``c`` failure class. Lines of a newer version are refused and skipped by the reader.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import BadContent
from contract.shape import Shape
from nanoclaw.channels.part import Part
from nanoclaw.events import FailureClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Shape):
    """What will be sent; with ``idempotent_send=key`` also: and may have been sent."""

    TAG = ("e", "plan")
    d: str
    at: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(Shape):
    TAG = ("e", "try")
    d: str
    p: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSent(Shape):
    """A part that is not the last one of its message has arrived."""

    TAG = ("e", "sent")
    d: str
    p: int
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Shape):
    TAG = ("e", "fail")
    d: str
    p: int
    c: FailureClass
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Shape):
    """All parts have arrived."""

    TAG = ("e", "done")
    d: str
    at: str
    ids: tuple[str, ...] = ()


Line = Planned | Tried | PartSent | Failed | Ended

_KINDS: dict[object, type[Line]] = {
    "plan": Planned,
    "try": Tried,
    "sent": PartSent,
    "fail": Failed,
    "done": Ended,
}


def read_line(value: Mapping[str, object]) -> Line:
    """Raises BadContent for a line that this version does not know."""
    kind = _KINDS.get(value.get("e"))
    if kind is None:
        raise BadContent(f"unknown kind of line {value.get('e')!r}")
    return kind.read(value)
