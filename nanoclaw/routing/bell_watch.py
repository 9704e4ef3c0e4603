"""Tells the router's loop when somebody has rung for it.

Owned by the composition root. Watches the folder of bells, with a slow timer as the safety net: a
ring is only a hint, and what has been decided stands in the log.
"""

from collections.abc import Callable

from contract.watch import Watch
from nanoclaw.bell import ROUTER
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor

SAFETY_SECONDS = 30.0
_OVERFLOW = ""
"""The name after lost events: nobody knows who was meant."""


class BellWatch:
    """``on_ring`` may be called without need."""

    def __init__(self, reactor: Reactor, paths: HostPaths, on_ring: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_ring = on_ring
        self._watch = Watch.open()
        self._watch.add(paths.bells)
        self._fd = self._watch.fileno()
        if self._fd is not None:
            reactor.watch(self._fd, self._read)
        else:
            self._poll()
        self._safety()

    def close(self) -> None:
        if self._fd is not None:
            self._reactor.unwatch(self._fd)
        self._watch.close()

    def _read(self) -> None:
        if any(event.name in (ROUTER, _OVERFLOW) for event in self._watch.read()):
            self._on_ring()

    def _poll(self) -> None:
        self._read()
        self._reactor.call_later(self._watch.poll_seconds or 1.0, self._poll)

    def _safety(self) -> None:
        self._on_ring()
        self._reactor.call_later(SAFETY_SECONDS, self._safety)
