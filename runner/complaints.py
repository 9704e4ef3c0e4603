"""Remembers who was told of an error a short while ago.

Two agents that answer each other's error messages never stop (R-92), so one complaint per agent
and ten minutes is enough. People are always told, until three turns in a row have failed for a
reason that only the operator can cure; then once per chat and ten minutes as well (R-317). That the
day's money is spent is told once per chat, until something has worked again (R-322); of a used-up
budget the host tells the chat itself, so only agents hear it from here.
"""

from collections.abc import Callable

from contract.address import AGENT_CHANNEL, Address
from runner.errors import Trouble

QUIET_SECONDS = 600.0
MAX_REMEMBERED = 100
LASTING_AFTER = 3
_OPERATORS_WORK = frozenset({Trouble.AUTH, Trouble.BILLING, Trouble.CONFIG})


class Complaints:
    """``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_of_day: set[tuple[str | None, str | None]] = set()
        self._told: dict[tuple[str | None, str | None], float] = {}
        self._in_a_row = 0
        self._day_is_over = False
        self._host_tells = False

    def is_tiresome(self, address: Address) -> bool:
        """True for whoever heard a complaint within the last ten minutes and needs no second."""
        if self._host_tells and address.channel_type != AGENT_CHANNEL:
            return True
        if self._day_is_over and (address.channel_type, address.platform_id) in self._told_of_day:
            return True
        lasting = self._in_a_row > LASTING_AFTER
        if address.channel_type != AGENT_CHANNEL and not lasting:
            return False
        told = self._told.get((address.channel_type, address.platform_id))
        return told is not None and self._clock() - told < QUIET_SECONDS

    def note(self, address: Address) -> None:
        """They are told now."""
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
            self._told_of_day.clear()
        self._told[address.channel_type, address.platform_id] = self._clock()
        if self._day_is_over:
            self._told_of_day.add((address.channel_type, address.platform_id))

    def turn_failed(self, trouble: Trouble) -> None:
        """Comes before the question whether to tell."""
        self._in_a_row = self._in_a_row + 1 if trouble in _OPERATORS_WORK else 0
        self._day_is_over = trouble in (Trouble.DAY_LIMIT, Trouble.BUDGET)
        self._host_tells = trouble is Trouble.BUDGET_TOLD

    def turn_went_well(self) -> None:
        self._in_a_row = 0
        self._day_is_over = False
        self._host_tells = False
        self._told_of_day.clear()
