"""One connected terminal client: its socket, its buffers, what it said about itself.

Owned by the switchboard. Both directions are bounded: a line over 1 MiB is dropped with a
warning, a client that does not read is closed. Never blocks.
"""

import logging
import socket
from collections import deque
from collections.abc import Callable

from nanoclaw.channels.cli.lines import MAX_LINE_BYTES, HostLine, render_host_line
from nanoclaw.reactor import Reactor

MAX_UNSENT_BYTES = 4 * 1024 * 1024
_RECEIVE_BYTES = 256 * 1024

OnLine = Callable[["Client", bytes], None]
OnClose = Callable[["Client"], None]

log = logging.getLogger(__name__)


class Client:
    """A connection; ``name`` is made up until the client gives its own."""

    def __init__(
        self,
        reactor: Reactor,
        connection: socket.socket,
        name: str,
        on_line: OnLine,
        on_close: OnClose,
    ) -> None:
        self._reactor = reactor
        self._socket = connection
        self._on_line = on_line
        self._on_close = on_close
        self._received = bytearray()
        self._lines: deque[bytes] = deque()
        self._unsent = bytearray()
        self._too_long = False
        self._reading = False
        self.name = name
        self.named = False
        """It gave its own name and may come back under it."""
        self.listens = False
        self.confirms = False
        self.slow = False
        """It left a reply unconfirmed; nobody waits for it until it speaks again."""
        self.uncommitted = 0
        self.closed = False
        connection.setblocking(False)
        self.resume()

    def send(self, line: HostLine) -> bool:
        """False if the client is gone or does not read."""
        if self.closed:
            return False
        self._unsent += render_host_line(line)
        self._flush()
        return not self.closed

    def pause(self) -> None:
        """Reads no further line for now; what the client sends waits in its own buffers."""
        if self._reading:
            self._reading = False
            self._reactor.unwatch(self._socket.fileno())
            self._watch_writable()

    def resume(self) -> None:
        if self.closed or self._reading:
            return
        self._reading = True
        self._reactor.watch(self._socket.fileno(), self._on_readable)
        if self._lines:
            self._reactor.post(self._take_lines)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._reading = False
        self._reactor.unwatch(self._socket.fileno())
        self._socket.close()
        self._on_close(self)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        self._cut_lines()
        self._take_lines()

    def _cut_lines(self) -> None:
        *lines, rest = bytes(self._received).split(b"\n")
        for line in lines:
            if self._too_long or len(line) > MAX_LINE_BYTES:
                self._too_long = False
                log.warning("line too long", extra={"channel": "cli", "reason": self.name})
            elif line.strip():
                self._lines.append(line)
        self._received = bytearray(rest)
        if len(rest) > MAX_LINE_BYTES:
            self._too_long = True
            self._received.clear()

    def _take_lines(self) -> None:
        while self._lines and self._reading:
            self._on_line(self, self._lines.popleft())

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[: 1 << 20])
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            # Closing calls back into whoever is sending; let the sender finish first.
            self._reactor.post(self.close)
            return
        if len(self._unsent) > MAX_UNSENT_BYTES:
            log.warning("client does not read", extra={"channel": "cli", "reason": self.name})
            self.close()
        elif self._unsent:
            self._watch_writable()

    def _watch_writable(self) -> None:
        if self._unsent:
            self._reactor.watch_writable(self._socket.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        self._flush()
        if not self._unsent and not self.closed:
            self._reactor.unwatch_writable(self._socket.fileno())
