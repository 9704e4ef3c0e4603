"""What the host is shown of the tools at work: always the one that may take longest (R-251).

Owned by a ``ToolSet`` and shared with its subsets, because a sub-agent's tools run inside of the
call that started it: when one of them ends, the sub-agent is still at work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runner.toolbox.source import InFlight

MAX_NAME = 100
PATIENT = "bash"
"""The host is more patient with this one only (R-60), so it is shown before any other."""


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    """Equal to itself only: two calls of one tool are two marks."""

    name: str
    seconds: float | None

    @property
    def weight(self) -> tuple[bool, float]:
        return self.name.casefold() == PATIENT, self.seconds or 0.0


class Marks:
    """Calls may come from several tasks; what is shown follows in their order."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._marks: list[_Mark] = []
        self._shown: _Mark | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def at_work(self, name: str, seconds: float | None) -> AsyncIterator[None]:
        """``seconds`` is the tool's own limit; None: it has none to show."""
        mark = _Mark(name[:MAX_NAME], seconds)
        self._marks.append(mark)
        try:
            await self._show()
            yield
        finally:
            self._marks.remove(mark)
            await self._show()

    async def _show(self) -> None:
        async with self._turn:
            longest = max(self._marks, key=lambda mark: mark.weight, default=None)
            if longest is self._shown:
                return
            self._shown = longest
            if longest is None:
                await self._in_flight.ended()
            else:
                seconds = longest.seconds
                milliseconds = None if seconds is None else int(seconds * 1000)
                await self._in_flight.started(longest.name, milliseconds)
