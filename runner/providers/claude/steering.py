"""The input of one stream: tickets, what waits, and who is to be woken (R-189, R-239, R-244).

``query`` appends, ``engine`` takes at its boundaries; both run in the one loop, so nothing is
locked. Everything that arrived until a boundary is taken together.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from runner.errors import QueryEndedError
from runner.providers.base import Prompt


@dataclass(frozen=True, slots=True)
class Input:
    ticket: int
    prompt: Prompt


class InputQueue:
    """Bounded by the loop, which hands over a few batches at a time."""

    def __init__(self, first: Prompt) -> None:
        self._waiting: deque[Input] = deque([Input(0, first)])
        self._next_ticket = 1
        self._bell = asyncio.Event()
        self.ended = False

    def push(self, prompt: Prompt) -> int:
        """Raises QueryEndedError after ``end``."""
        if self.ended:
            raise QueryEndedError("the stream takes no more input")
        ticket = self._next_ticket
        self._next_ticket += 1
        self._waiting.append(Input(ticket, prompt))
        self._bell.set()
        return ticket

    def end(self) -> None:
        self.ended = True
        self._bell.set()

    def ring(self) -> None:
        """Something else than input deserves a look."""
        self._bell.set()

    @property
    def has_input(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[Input, ...]:
        """All that waits, oldest first."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

    async def wait(self) -> None:
        """Until something arrives or rings; returns at once if that has happened since."""
        await self._bell.wait()
        self._bell.clear()
