"""What is being answered just now, in memory: written by the loop, read by tools of this process.

Other processes read the same from ``session_state`` (R-58). The rows stay while the provider works
on them.
"""

from collections.abc import Callable
from typing import Protocol

from contract.address import NOWHERE, Address
from contract.inbound.row import InboundRow
from runner.turn.taint import TurnTaint

SkillBody = Callable[[str, str], str | None]
"""A skill's instructions for a name (without slash) and arguments; None: no such skill (R-307)."""


class DeskView(Protocol):
    """What the loop needs to know of the tools that write messages and wait for answers."""

    @property
    def deliveries(self) -> int:
        """How many messages tools have sent in this process (R-88)."""

    def awaits(self, key: str) -> bool:
        """Somebody in this process waits for the answer to this question or request (R-98)."""


class CurrentTurn:
    """Made once per process; lists are short, because few batches wait at a time."""

    def __init__(self) -> None:
        self.taint = TurnTaint()
        self._rows: tuple[InboundRow, ...] = ()
        self._routing: InboundRow | None = None
        self._words: frozenset[str] = frozenset()

    @property
    def rows(self) -> tuple[InboundRow, ...]:
        """Every row handed to the provider and not yet answered, oldest first."""
        return self._rows

    @property
    def routing(self) -> InboundRow | None:
        """The row that answers refer to (R-68); None between turns."""
        return self._routing

    @property
    def origin(self) -> Address:
        return NOWHERE if self._routing is None else self._routing.address

    @property
    def in_reply_to(self) -> str | None:
        return None if self._routing is None else self._routing.id

    @property
    def words(self) -> frozenset[str]:
        """The taint of everything that the turn has seen so far."""
        return self._words | self.taint.words

    def set(
        self,
        rows: tuple[InboundRow, ...],
        routing: InboundRow | None,
        words: frozenset[str] = frozenset(),
    ) -> None:
        """What is left to answer, and whom answers refer to from now on (R-85)."""
        self._rows = rows
        self._routing = routing
        self._words = words
