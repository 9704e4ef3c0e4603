"""Shows in the chats of working agents that an answer is on its way.

A ``companion``. While agents run, their heartbeats are looked at every second (a handful of
``stat`` calls, bounded by the number of containers); while none runs, nothing is done at all. The
first sign of a turn is the router's; this one repeats it, follows the newest source in sessions of
several chats (W-51), and never disturbs anything.
"""

import os
import sqlite3
import stat

from contract.address import AGENT_CHANNEL, Address
from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileError
from contract.inbound.turn import read_newest_trigger
from contract.layout import HEARTBEAT
from nanoclaw.db import sessions
from nanoclaw.delivery.lanes import Lanes
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.typing_indicator import (
    REFRESH_SECONDS,
    Signal,
    Typing,
    TypingFacts,
    decide_typing,
    is_fresh,
    note_delivered,
)
from nanoclaw.events import SetTyping
from nanoclaw.model import Delivery, Session
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sessions.folder import SessionFolder

LOOK_SECONDS = 1.0


class TypingSigns:
    """Owned by the ``delivery`` process."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        paths: HostPaths,
        links: Links,
        lanes: Lanes,
    ) -> None:
        """``lanes``: no sign where a message itself has to wait."""
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._links = links
        self._lanes = lanes
        self._running: dict[str, Session] = {}
        self._typing: dict[str, Typing] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        self.look()

    def look(self) -> None:
        """The set of running sessions may have changed."""
        self._running = {session.id: session for session in sessions.running(self._conn)}
        for session_id in self._typing.keys() - self._running.keys():
            self._stop(self._typing.pop(session_id))
        if self._running and self._timer is None:
            self._tick()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def delivered(self, delivery: Delivery) -> None:
        """A message of a session has arrived; platforms clear the sign by themselves."""
        typing = self._typing.get(delivery.session_id or "")
        if typing is not None:
            self._typing[delivery.session_id or ""] = note_delivered(
                typing, self._reactor.now(), completes=delivery.completes
            )

    def _tick(self) -> None:
        self._timer = None
        for session in self._running.values():
            self._look_at(session)
        if self._running:
            self._timer = self._reactor.call_later(LOOK_SECONDS, self._tick)

    def _look_at(self, session: Session) -> None:
        typing = self._typing.get(session.id, Typing())
        age = heartbeat_age(SessionFolder.of(self._paths, session.agent_group_id, session.id))
        source = typing.address
        if source is None and is_fresh(age):
            source = self._source(session)
        facts = TypingFacts(
            now=self._reactor.now(),
            heartbeat_age=age,
            source=source,
            refresh_seconds=self._refresh_seconds(source),
            held_back=self._is_held_back(source),
        )
        self._typing[session.id], signal = decide_typing(typing, facts)
        if signal is Signal.SHOW:
            self._send(source, active=True)
        elif signal is Signal.STOP:
            self._stop(typing)

    def _source(self, session: Session) -> Address | None:
        """Read when a turn begins. A file that cannot be read now shows nothing for this turn."""
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            source = read_newest_trigger(folder.inbound_db)
        except (SessionFileError, SchemaMismatch):
            return None
        if source is None or source.channel_type in (None, AGENT_CHANNEL):
            return None
        return source

    def _refresh_seconds(self, address: Address | None) -> float:
        if address is None or address.channel_type is None:
            return REFRESH_SECONDS
        if not self._links.is_ready(address.channel_type):
            return REFRESH_SECONDS
        capabilities = self._links.worker(address.channel_type).capabilities
        seconds = capabilities.typing_seconds if capabilities is not None else REFRESH_SECONDS
        return max(1.0, seconds - 1.0)

    def _is_held_back(self, address: Address | None) -> bool:
        if address is None:
            return False
        channel, chat = address.channel_type or "", address.platform_id or ""
        return self._lanes.is_held_back(channel, chat, utc_now())

    def _stop(self, typing: Typing) -> None:
        if typing.shown_at is not None:
            self._send(typing.address, active=False)

    def _send(self, address: Address | None, *, active: bool) -> None:
        """Only where a connection is there already and the platform has such a sign."""
        if address is None or address.channel_type is None or address.platform_id is None:
            return
        if not self._links.is_ready(address.channel_type):
            return
        link = self._links.worker(address.channel_type)
        if link.capabilities is not None and link.capabilities.typing:
            link.client.notify(SetTyping(address.platform_id, address.thread_id, active))


def heartbeat_age(folder: SessionFolder) -> float | None:
    """Seconds since the agent's last sign of life; None when there is none that is a plain file."""
    try:
        out_fd = folder.open_out()
    except OSError:
        return None
    try:
        found = os.stat(HEARTBEAT, dir_fd=out_fd, follow_symlinks=False)
    except OSError:
        return None
    finally:
        os.close(out_fd)
    if not stat.S_ISREG(found.st_mode):
        return None
    return utc_now().timestamp() - found.st_mtime
