"""What the agent is to be told with its next prompt, beside the messages themselves.

Filled by the query (blocks that were not delivered, R-140) and by a comparison of the
destinations (R-23); emptied by the prompt that carries it. A note is never a prompt of its own.
"""

from contract.address import Destination
from runner.reply import shown_names

MAX_NOTES = 20


class PendingNotes:
    """``peek`` gives what is due, ``told`` forgets exactly that, once the provider has it."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._names: frozenset[str] | None = None

    def add(self, note: str) -> None:
        """Of too many, the newest count."""
        self._notes = [*self._notes, note][-MAX_NOTES:]

    def peek(self, destinations: tuple[Destination, ...]) -> tuple[str, ...]:
        names = frozenset(d.name for d in destinations)
        if self._names is None or names == self._names:
            return tuple(self._notes)
        return (_names_note(destinations), *self._notes)

    def told(self, notes: tuple[str, ...], destinations: tuple[Destination, ...]) -> None:
        """At the first prompt of a process the agent knows the names from its instructions."""
        self._names = frozenset(d.name for d in destinations)
        self._notes = [note for note in self._notes if note not in notes]


def _names_note(destinations: tuple[Destination, ...]) -> str:
    return (
        f"The destinations have changed. Messages can now be sent to: {shown_names(destinations)}."
    )
