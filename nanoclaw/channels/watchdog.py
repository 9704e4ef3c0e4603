"""Notices connections that died in silence (C-42).

Ticks on the worker's reactor. After five minutes without a byte, or after a jump of the wall
clock (sleep, suspended machine), the adapter is probed on a pool thread; three failed probes in
a row, or one that hangs, close the connection, which then is made anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import utc_now
from nanoclaw.channels.failure import ChannelFailure, Guard
from nanoclaw.channels.pool import Pool
from nanoclaw.events import FailureClass
from nanoclaw.reactor import Reactor, Timer

TICK_SECONDS = 30.0
SILENCE_SECONDS = 300.0
CLOCK_JUMP_SECONDS = 30.0
FAILED_PROBES = 3


@dataclass(frozen=True, slots=True)
class WatchdogParts:
    probe: Callable[[], None]
    guard: Guard
    pool: Pool
    reset: Callable[[], None]
    """Closes the connection."""


class Watchdog:
    """Runs while the channel is connected."""

    def __init__(self, reactor: Reactor, parts: WatchdogParts) -> None:
        self._reactor = reactor
        self._parts = parts
        self._timer: Timer | None = None
        self._last_sign = 0.0
        self._clock_offset = 0.0
        self._failures = 0
        self._probing = False

    def start(self) -> None:
        """The connection was made just now."""
        self.stop()
        self._failures = 0
        self._probing = False
        self._last_sign = self._reactor.now()
        self._clock_offset = _offset(self._reactor.now())
        self._timer = self._reactor.call_later(TICK_SECONDS, self.tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note_sign_of_life(self) -> None:
        """Safe from any thread: a float is replaced as a whole."""
        self._last_sign = self._reactor.now()

    def tick(self) -> None:
        now = self._reactor.now()
        self._timer = self._reactor.call_later(TICK_SECONDS, self.tick)
        offset = _offset(now)
        jumped = abs(offset - self._clock_offset) > CLOCK_JUMP_SECONDS
        self._clock_offset = offset
        silent = now - self._last_sign >= SILENCE_SECONDS
        if self._probing:
            self._judge(ok=False)  # the last probe has not come back in a whole tick
        elif silent or jumped or self._failures:
            self._probing = True
            self._parts.pool.put(self._probe)

    def _probe(self) -> None:
        try:
            self._parts.guard(self._parts.probe, FailureClass.OFFLINE)
        except ChannelFailure:
            self._reactor.post(lambda: self._probed(ok=False))
        else:
            self._reactor.post(lambda: self._probed(ok=True))

    def _probed(self, *, ok: bool) -> None:
        self._probing = False
        self._judge(ok=ok)

    def _judge(self, *, ok: bool) -> None:
        if ok:
            self._failures = 0
            self._last_sign = self._reactor.now()
            return
        self._failures += 1
        if self._failures >= FAILED_PROBES:
            self._failures = 0
            self._parts.reset()


def _offset(now: float) -> float:
    return utc_now().timestamp() - now
