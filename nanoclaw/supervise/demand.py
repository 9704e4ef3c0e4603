"""Notices that a child which is started on demand has become needed: its bell has rung.

Owned by ``supervisor``. Watches the folder of bells with inotify, or looks at it where there is
none. A ring from before the host's start says nothing about now: whoever needs the child rings
again when it starts.
"""

from collections.abc import Callable
from pathlib import Path

from contract.watch import PollingWatch, Watch
from nanoclaw.reactor import Reactor


class Demand:
    """``on_ring`` gets the name of the child; any number of times."""

    def __init__(
        self, reactor: Reactor, bells: Path, names: frozenset[str], on_ring: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._bells = bells
        self._names = names
        self._on_ring = on_ring
        self._watch: Watch | None = None

    def listen(self) -> None:
        """From now on; safe to repeat. Without such children there is nothing to listen for."""
        if self._watch is not None or not self._names:
            return
        self._watch = _opened(self._bells)
        fd = self._watch.fileno()
        if fd is not None:
            self._reactor.watch(fd, self._read)
        else:
            self._poll(self._watch)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _read(self) -> None:
        if self._watch is None:
            return
        rung = {event.name for event in self._watch.read()}
        # After an overflow nobody knows which one it was; a child too many does no harm.
        for name in sorted(self._names if "" in rung else self._names & rung):
            self._on_ring(name)

    def _poll(self, watch: Watch) -> None:
        self._read()
        self._reactor.call_later(watch.poll_seconds or 1.0, lambda: self._poll(watch))


def _opened(folder: Path) -> Watch:
    watch = Watch.open()
    try:
        watch.add(folder)
    except OSError:
        watch.close()
        watch = PollingWatch()
        watch.add(folder)
    return watch
