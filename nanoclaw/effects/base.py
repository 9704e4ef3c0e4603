"""What an effect is made of: a handler per kind, what it is given, what it may answer.

``runner`` in this package carries effects out; the packages that own a kind provide its handler.
A handler must be repeatable: a crash may fall between its deed and the record of it. Rows that it
writes therefore have ids made from the effect's id.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nanoclaw.config import HostConfig
from nanoclaw.db.effects import Effect
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.paths import HostPaths


@dataclass(frozen=True, slots=True)
class Done:
    """Carried out; ``result`` is one line for the record."""

    result: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Not now. ``seconds`` None: the runner's own growing delay."""

    error: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Never: bad input or a refusal. The handler has told whoever has to know."""

    error: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The handler will call ``EffectContext.complete`` with one of the others, exactly once."""


Outcome = Done | Again | Failed
HandlerResult = Outcome | UnderWay


class Requests(Protocol):
    """Questions to other processes; the answer, or why there is none, comes later in one call."""

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None: ...

    def to_sweep(
        self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class EffectContext:
    """What handlers work with. ``now`` is the time of this attempt."""

    conn: sqlite3.Connection
    config: HostConfig
    requests: Requests
    now: datetime
    complete: Callable[[str, Outcome], None]
    """Ends an effect that is ``UnderWay``, by its id; later than the handler's return."""
    go_on: Callable[[str, Callable[[], HandlerResult]], None]
    """The same with what a further step answers, which may raise what a handler may."""

    @property
    def paths(self) -> HostPaths:
        return self.config.paths


Handler = Callable[[EffectContext, Effect], HandlerResult]
"""Raises nothing but SessionFileBusy, OSError and sqlite3.OperationalError, which mean Again."""
