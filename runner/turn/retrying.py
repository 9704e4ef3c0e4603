"""Notices when the provider has been trying again for so long that people should know (R-90)."""

from collections.abc import Callable

AFTER_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 150.0
"""A provider waits two minutes at most between tries; what comes later is new trouble."""


class Retrying:
    """Told of every attempt that failed; ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._last = 0.0
        self._said = False

    def reset(self) -> None:
        """Something came through."""
        self._since = None

    def turn_ended(self) -> None:
        self._since = None
        self._said = False

    def is_worth_a_word(self) -> bool:
        """A try has failed: True once per turn, after a minute of nothing else."""
        now = self._clock()
        if self._since is None or now - self._last > LONGEST_PAUSE_SECONDS:
            self._since = now
        self._last = now
        if self._said or now - self._since < AFTER_SECONDS:
            return False
        self._said = True
        return True
