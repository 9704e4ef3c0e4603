"""Decides which terminal clients see a reply.

Pure. An answer belongs to the client that asked; while that one is away for a moment it waits for
it. What nobody asked for, and what nobody came back for, goes to every chat window, or is kept
for the next one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

AWAY_SECONDS = 60.0
"""How long an answer waits for a client that lost its connection."""


@dataclass(frozen=True, slots=True)
class Show:
    """To these clients, now."""

    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """For this client, or, with None, for the next chat window."""

    client: str | None


Audience = Show | Keep


@dataclass(frozen=True, slots=True)
class Room:
    """Who is there: names of connected clients, and when absent ones left."""

    connected: Collection[str]
    listening: Collection[str]
    left_at: Mapping[str, float]
    opened_at: float
    """Before that moment nothing is known; every client may be about to come back."""


def decide_audience(asker: str | None, room: Room, now: float) -> Audience:
    if asker is not None:
        if asker in room.connected:
            return Show((asker,))
        if may_return(asker, room, now):
            return Keep(asker)
    if room.listening:
        return Show(tuple(room.listening))
    return Keep(None)


def may_return(client: str, room: Room, now: float) -> bool:
    """Whether an absent client is still expected."""
    return now - room.left_at.get(client, room.opened_at) < AWAY_SECONDS
