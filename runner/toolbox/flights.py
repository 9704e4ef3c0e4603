"""Keeps the host's view of the tool at work true while several calls overlap (R-251).

Calls of one answer may run side by side, and those of a sub-agent within another call. The mark
shows the one with the largest time-out, of equal ones the latest, and is cleared after the last.
Only a shell command's time-out is shown, because the host looks at no other (R-60).
"""

import logging
from itertools import count

from runner.log import fields
from runner.toolbox.source import InFlight

_log = logging.getLogger(__name__)

BASH = "Bash"
"""What the host knows the shell by."""


class Flights:
    """Shared by a toolbox and its subsets."""

    def __init__(self, mark: InFlight | None) -> None:
        self._mark = mark
        self._numbers = count()
        self._flying: dict[int, tuple[str, int | None]] = {}
        self._shown: tuple[str, int | None] | None = None

    async def begin(self, tool: str, seconds: float | None) -> int:
        """The number to give to ``end``."""
        number = next(self._numbers)
        is_shell = tool == "bash"
        milliseconds = round(seconds * 1000) if is_shell and seconds is not None else None
        self._flying[number] = (BASH if is_shell else tool, milliseconds)
        await self._show()
        return number

    async def end(self, number: int) -> None:
        self._flying.pop(number, None)
        await self._show()

    async def _show(self) -> None:
        wanted = self._wanted()
        if self._mark is None or wanted == self._shown:
            return
        self._shown = wanted
        try:
            if wanted is None:
                await self._mark.ended()
            else:
                await self._mark.started(*wanted)
        except OSError as error:
            _log.warning("the tool at work cannot be shown", extra=fields(reason=error))

    def _wanted(self) -> tuple[str, int | None] | None:
        if not self._flying:
            return None
        number = max(self._flying, key=lambda key: (self._flying[key][1] or 0, key))
        return self._flying[number]
