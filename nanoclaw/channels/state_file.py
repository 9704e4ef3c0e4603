"""The channel's state for people and programs that look from outside (C-21).

The worker writes ``run/channel-<instance>.json`` at every change of state at once, and at most
once a second for counters; an idle channel writes nothing. ``status`` and ``doctor`` read it, also
when everything else is down.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from contract.clock import to_text, utc_now
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.shape import Shape
from nanoclaw.channels.durable import replace_file
from nanoclaw.reactor import Reactor, Timer

COUNTER_SECONDS = 1.0
MAX_STATE_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class ConnectionState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    BACKOFF = "backoff"
    AUTH_FAILED = "auth_failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState(Shape):
    """Times are ISO text, as everywhere in stored JSON."""

    instance: str
    kind: str
    pid: int
    state: ConnectionState = ConnectionState.CONNECTING
    since: str = ""
    identity: str | None = None
    last_inbound: str | None = None
    last_outbound: str | None = None
    queue_length: int = 0
    uncommitted: int = 0
    rejected: int = 0
    last_error: str | None = None
    next_attempt: str | None = None
    updated: str = field(default="")


def read_channel_state(path: Path) -> ChannelState | None:
    """What the worker last wrote, or None if there is nothing usable."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_STATE_BYTES + 1).decode()
        return ChannelState.read(parse_object(text, max_bytes=MAX_STATE_BYTES))
    except (OSError, UnicodeDecodeError, BadContent):
        return None


class StateFile:
    """Owned by the worker, used on the reactor's thread only."""

    def __init__(self, reactor: Reactor, path: Path, state: ChannelState) -> None:
        self._reactor = reactor
        self._path = path
        self._state = state
        self._timer: Timer | None = None
        self._write(utc_now())

    @property
    def state(self) -> ChannelState:
        return self._state

    def change(
        self,
        state: ConnectionState,
        *,
        error: str | None = None,
        identity: str | None = None,
        next_attempt: datetime | None = None,
    ) -> None:
        """The connection is in another state; visible at once."""
        now = utc_now()
        same = state is self._state.state
        self._state = replace(
            self._state,
            state=state,
            since=self._state.since if same else to_text(now),
            identity=identity or self._state.identity,
            last_error=error or self._state.last_error,
            next_attempt=None if next_attempt is None else to_text(next_attempt),
        )
        self._write(now)

    def count(self, *, queue_length: int, uncommitted: int, rejected: int = 0) -> None:
        self._later(
            replace(
                self._state,
                queue_length=queue_length,
                uncommitted=uncommitted,
                rejected=self._state.rejected + rejected,
            )
        )

    def note_inbound(self) -> None:
        self._later(replace(self._state, last_inbound=to_text(utc_now())))

    def note_outbound(self) -> None:
        self._later(replace(self._state, last_outbound=to_text(utc_now())))

    def close(self) -> None:
        self.change(ConnectionState.STOPPED)

    def _later(self, state: ChannelState) -> None:
        self._state = state
        if self._timer is None:
            self._timer = self._reactor.call_later(COUNTER_SECONDS, lambda: self._write(utc_now()))

    def _write(self, now: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._state = replace(self._state, updated=to_text(now))
        try:
            replace_file(self._path, dump(self._state.plain()).encode(), durable=False)
        except OSError as error:  # a full disk; messages matter more than what is said about them
            log.debug("state not written", extra={"reason": str(error)})
