"""When a session is looked at again whose files were busy.

Owned by ``delivery.loop``. A commit of a runner takes milliseconds, so the first look comes soon;
but an agent can hold a lock for as long as it lives. So there is one timer for each session,
however many reasons there are to look, and each look comes later than the one before.
"""

from collections.abc import Callable
from functools import partial

from nanoclaw.reactor import Reactor

FIRST_SECONDS = 0.002
LONGEST_SECONDS = 1.0
_DOUBLINGS = 9


class BusyLooks:
    """``look`` is called with the session's id; it then says how it went."""

    def __init__(self, reactor: Reactor, look: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._look = look
        self._tries: dict[str, int] = {}
        self._planned: set[str] = set()

    def note(self, session_id: str, *, busy: bool) -> None:
        if not busy:
            self._tries.pop(session_id, None)
        elif session_id not in self._planned:
            tries = self._tries.get(session_id, 0)
            self._tries[session_id] = tries + 1
            self._planned.add(session_id)
            delay = min(FIRST_SECONDS * 2 ** min(tries, _DOUBLINGS), LONGEST_SECONDS)
            self._reactor.call_later(delay, partial(self._again, session_id))

    def _again(self, session_id: str) -> None:
        self._planned.discard(session_id)
        self._look(session_id)
