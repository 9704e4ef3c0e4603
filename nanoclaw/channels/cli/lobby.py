"""The clients that are connected to the terminal channel, and who left when.

Plain bookkeeping for the switchboard and the hand-over, on their thread only.
"""

from collections import OrderedDict

from nanoclaw.channels.cli.client import Client
from nanoclaw.channels.cli.decide import Room

MAX_REMEMBERED = 256


class Lobby:
    """Who is here."""

    def __init__(self, now: float) -> None:
        self._clients: list[Client] = []
        self._left_at: OrderedDict[str, float] = OrderedDict()
        self._opened_at = now

    @property
    def clients(self) -> tuple[Client, ...]:
        return tuple(self._clients)

    def room(self) -> Room:
        """As the decision about an audience needs it."""
        return Room(
            connected=[client.name for client in self._clients],
            listening=[client.name for client in self._clients if client.listens],
            left_at=self._left_at,
            opened_at=self._opened_at,
        )

    def find(self, name: str) -> Client | None:
        return next((client for client in self._clients if client.name == name), None)

    def enter(self, client: Client) -> None:
        self._clients.append(client)

    def leave(self, client: Client, now: float) -> None:
        self._clients.remove(client)
        # A made-up name is never heard again, so nothing waits for it.
        self._left_at[client.name] = now if client.named else float("-inf")
        self._left_at.move_to_end(client.name)
        if len(self._left_at) > MAX_REMEMBERED:
            self._left_at.popitem(last=False)
