"""How long the loop puts up with trouble before it leaves the decision to the host.

Two kinds: a session file that cannot be read just now is "nothing new" for five minutes (R-33);
anything unforeseen in a pass of the loop may happen five times within a minute (R-69). Beyond
that GiveUpError ends the process with 1, and the host counts the try.
"""

import logging
from collections import deque
from collections.abc import Callable

from runner.errors import GiveUpError
from runner.log import fields

_log = logging.getLogger(__name__)

TRANSIENT_LIMIT_SECONDS = 300.0
TRANSIENT_LOG_SECONDS = 60.0
MAX_FAILURES = 5
FAILURE_WINDOW_SECONDS = 60.0


class Patience:
    """``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._transient_since: float | None = None
        self._logged_at: float | None = None
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)

    def good(self) -> None:
        """A pass went well: earlier trouble is forgotten."""
        self._transient_since = None
        self._failures.clear()

    def transient(self, error: Exception) -> None:
        """A file was busy; raises GiveUpError when it has been for too long."""
        now = self._clock()
        if self._transient_since is None:
            self._transient_since = now
        if now - self._transient_since >= TRANSIENT_LIMIT_SECONDS:
            raise GiveUpError(f"session file unusable for five minutes: {error}") from error
        if self._logged_at is None or now - self._logged_at >= TRANSIENT_LOG_SECONDS:
            self._logged_at = now
            _log.warning("session file cannot be read just now", extra=fields(reason=error))

    def failure(self, error: Exception) -> None:
        """Something unforeseen; raises GiveUpError at the fifth in a row within a minute."""
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == MAX_FAILURES and now - self._failures[0] < FAILURE_WINDOW_SECONDS:
            raise GiveUpError(f"{MAX_FAILURES} failures within a minute") from error
