"""What lives beside the delivery loop in its process: effects, cards, typing.

A companion has timers of its own on the reactor and keeps what it has to do in the central
database. The loop only starts it, tells it when somebody has rung, and closes it.
"""

from typing import Protocol


class Companion(Protocol):
    """One more thing that the delivery process does."""

    def start(self) -> None:
        """Takes up what an earlier process left."""

    def look(self) -> None:
        """The bell rang, or receipts were settled: something may be there to do."""

    def close(self) -> None: ...
