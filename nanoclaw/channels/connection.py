"""The life of an adapter's connection: set up, listen, fall, wait, set up again (C 1.10).

Runs in its own thread until the worker stops; there is no number of failures after which a
channel gives up. Everything it finds out is reported to the worker's reactor. What was missed is
caught up before new events are taken (C-43).
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contract.clock import utc_now
from nanoclaw.channels.adapter import CatchesUp, Channel, ChannelHost, Identity, Listens
from nanoclaw.channels.backoff import reconnect_seconds
from nanoclaw.channels.failure import ChannelFailure, Guard, HostStoppingError
from nanoclaw.channels.stop_signal import StopSignal
from nanoclaw.errors import ConfigError
from nanoclaw.events import FailureClass

HELD_SECONDS = 60.0
"""A connection that lasted this long resets the growing delay."""


@dataclass(frozen=True, slots=True)
class Connecting:
    """Set-up has begun."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Sending works."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection fell or could not be made."""

    failure: ChannelFailure
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class Broken:
    """No later attempt can succeed; the process must end with this error."""

    error: ConfigError


ConnectionEvent = Connecting | Connected | Disconnected | Broken
Report = Callable[[ConnectionEvent], None]
"""Called on the connection's thread; must hand over and return."""


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    adapter: Channel
    host: ChannelHost
    guard: Guard
    monotonic: Callable[[], float]


class Connection:
    """One adapter's connection."""

    def __init__(self, parts: ConnectionParts, report: Report) -> None:
        self._parts = parts
        self._report = report
        self._stopping = StopSignal()
        self._session = StopSignal()
        self._lock = threading.Lock()
        self._last_connected: datetime | None = None
        self._thread = threading.Thread(target=self._run, name="channel-listen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def reset(self) -> None:
        """Closes a connection that is dead without having said so (C-42)."""
        with self._lock:
            self._session.set()

    def stop(self) -> None:
        """Begins to stop; ``join`` waits for it."""
        self._stopping.set()
        self.reset()

    def join(self, seconds: float) -> bool:
        """False if the adapter did not return in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            self._new_session()
            self._report(Connecting())
            began = self._parts.monotonic()
            failure = self._live()
            if failure is None:
                return
            if self._parts.monotonic() - began >= HELD_SECONDS:
                attempt = 0
            delay = reconnect_seconds(failure, attempt, _jitter())
            attempt += 1
            self._report(Disconnected(failure, delay))
            self._stopping.wait(delay)

    def _live(self) -> ChannelFailure | None:
        """One connection from beginning to end; None when there must be no other."""
        parts = self._parts
        failure: ChannelFailure | None = None
        try:
            parts.guard(self._set_up_and_listen, FailureClass.OFFLINE)
        except HostStoppingError:
            pass
        except ChannelFailure as error:
            failure = error
        except ConfigError as error:
            self._report(Broken(error))
            return None
        self._tear_down()
        if self._stopping.is_set():
            return None
        return failure or ChannelFailure(FailureClass.OFFLINE, "the connection was closed")

    def _set_up_and_listen(self) -> None:
        adapter, session = self._parts.adapter, self._session
        identity = adapter.setup(self._parts.host)
        if isinstance(adapter, CatchesUp):
            adapter.catch_up(self._last_connected)
        self._report(Connected(identity))
        try:
            if isinstance(adapter, Listens):
                adapter.listen(session)
            else:
                while not session.wait(HELD_SECONDS):
                    pass
        finally:
            self._last_connected = utc_now()

    def _tear_down(self) -> None:
        with contextlib.suppress(ChannelFailure):  # it is being given up anyway
            self._parts.guard(self._parts.adapter.teardown, FailureClass.OFFLINE)

    def _new_session(self) -> None:
        with self._lock:
            self._session.close()
            self._session = StopSignal()
            if self._stopping.is_set():
                self._session.set()


def _jitter() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32
