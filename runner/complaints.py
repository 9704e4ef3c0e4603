"""Remembers which agents were told of an error a short while ago.

Two agents that answer each other's error messages never stop (R-92), so one complaint per agent
and ten minutes is enough. People are always told.
"""

from collections.abc import Callable

from contract.address import AGENT_CHANNEL, Address

QUIET_SECONDS = 600.0
MAX_REMEMBERED = 100


class Complaints:
    """``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str | None, float] = {}

    def is_tiresome(self, address: Address) -> bool:
        """True for an agent that heard a complaint within the last ten minutes."""
        if address.channel_type != AGENT_CHANNEL:
            return False
        told = self._told.get(address.platform_id)
        return told is not None and self._clock() - told < QUIET_SECONDS

    def note(self, address: Address) -> None:
        if address.channel_type == AGENT_CHANNEL:
            if len(self._told) >= MAX_REMEMBERED:
                self._told.clear()
            self._told[address.platform_id] = self._clock()
