"""The chat client's connection to ``run/cli.sock``: sends, resends, shows each reply once.

Used by every mode of ``nanoclaw chat`` on one reactor. A message is sent again under the same id
until it is acknowledged; a reply is handed on once, confirmed after that, and remembered until the
host says that it will not repeat it. So neither a killed host nor a killed connection loses or
doubles a line.
"""

import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from contract.ids import new_id
from nanoclaw.channels.cli.lines import (
    MAX_LINE_BYTES,
    Ack,
    ClientLine,
    Got,
    Greeting,
    Leave,
    Place,
    Reply,
    Say,
    Settled,
    Welcome,
    parse_host_line,
    render_client_line,
)
from nanoclaw.reactor import Reactor, Timer

RECONNECT_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MAX_SEEN = 10_000
MAX_RECEIVED_BYTES = 16 * 1024 * 1024
_RECEIVE_BYTES = 256 * 1024


class LinkChange(Enum):
    LOST = "lost"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """What the user of the connection wants to hear; ``on_reply`` has shown it when it returns."""

    on_reply: Callable[[Reply], None]
    on_ack: Callable[[Ack], None]
    on_change: Callable[[LinkChange], None]


class ChatLink:
    """One client's connection, reconnecting until ``close``."""

    def __init__(self, reactor: Reactor, path: Path, events: LinkEvents, *, listens: bool) -> None:
        self._reactor = reactor
        self._path = path
        self._events = events
        self._listens = listens
        self._name = new_id("chat")
        self._count = 0
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        self._unacknowledged: OrderedDict[str, Say] = OrderedDict()
        self._unsettled: OrderedDict[str, None] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._attempt = 0
        self._timer: Timer | None = None
        self.says_done = False
        """The host marks the last reply to a message."""

    @property
    def is_settled(self) -> bool:
        """Nothing would be repeated or lost if this program ended now, as far as hosts tell."""
        return not self.says_done or not (self._unacknowledged or self._unsettled)

    def connect(self) -> bool:
        """The first try; False if nobody listens there."""
        return self._open()

    def say(self, text: str, to: Place | None = None) -> str:
        """Sends a message, now or as soon as there is a connection; returns its id."""
        self._count += 1
        line = Say(text, id=str(self._count), ack=True, to=to)
        line_id = line.id or ""
        self._unacknowledged[line_id] = line
        self._send(line)
        return line_id

    def close(self) -> None:
        """Says good-bye; what is still under way goes to the next chat window."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._send(Leave())
            self._drop_socket()

    def _open(self) -> bool:
        self._timer = None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.setblocking(False)
        try:
            connection.connect(os.fspath(self._path))
        except OSError:
            connection.close()
            return False
        self._socket = connection
        self._received.clear()
        self._unsent.clear()
        self._reactor.watch(connection.fileno(), self._on_readable)
        self._send(
            Greeting(self._name, listens=self._listens, confirms=True, got=tuple(self._unsettled))
        )
        for line in self._unacknowledged.values():
            self._send(line)
        return True

    def _reopen(self) -> None:
        if self._open():
            self._attempt = 0
            self._events.on_change(LinkChange.BACK)
        else:
            self._retry_later()

    def _retry_later(self) -> None:
        delay = RECONNECT_SECONDS[min(self._attempt, len(RECONNECT_SECONDS) - 1)]
        self._attempt += 1
        self._timer = self._reactor.call_later(delay, self._reopen)

    def _lost(self) -> None:
        self._drop_socket()
        self._events.on_change(LinkChange.LOST)
        self._retry_later()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._reactor.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _send(self, line: ClientLine) -> None:
        if self._socket is not None:
            self._unsent += render_client_line(line)
            self._flush()

    def _flush(self) -> None:
        connection = self._socket
        if connection is None:
            return
        try:
            while self._unsent:
                sent = connection.send(self._unsent[:_RECEIVE_BYTES])
                del self._unsent[:sent]
        except BlockingIOError:
            self._reactor.watch_writable(connection.fileno(), self._flush)
            return
        except OSError:
            return  # reading finds the lost connection, after the last lines that came over it
        self._reactor.unwatch_writable(connection.fileno())

    def _on_readable(self) -> None:
        connection = self._socket
        if connection is None:
            return
        try:
            data = connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._received += data
        *lines, rest = bytes(self._received).split(b"\n")
        self._received = bytearray(rest)
        for raw in lines:
            self._take(raw)
        if len(self._received) > MAX_RECEIVED_BYTES:
            self._lost()

    def _take(self, raw: bytes) -> None:
        match parse_host_line(raw):
            case Reply() as reply:
                self._take_reply(reply)
            case Ack() as ack:
                if self._unacknowledged.pop(ack.id, None) is not None:
                    self._events.on_ack(ack)
            case Settled(ids):
                for reply_id in ids:
                    self._unsettled.pop(reply_id, None)
            case Welcome(says_done):
                self.says_done = says_done
            case None:
                pass  # a line of a newer host

    def _take_reply(self, reply: Reply) -> None:
        if reply.id is None:
            if not self.says_done:
                self._unacknowledged.clear()  # an old host acknowledges by answering
            self._events.on_reply(reply)
            return
        if reply.id not in self._seen:
            self._seen[reply.id] = None
            if len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)
            self._events.on_reply(reply)
        self._unsettled[reply.id] = None
        self._send(Got(reply.id))


def fits_line(text: str) -> bool:
    """Whether a message of this length can be sent in one line."""
    return len(render_client_line(Say(text, id="x" * 128, ack=True))) <= MAX_LINE_BYTES - 1024
