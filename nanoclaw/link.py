"""Framed connections between host processes, over Unix sockets.

A frame is a 4-byte big-endian length and that many bytes of JSON (``nanoclaw.codec``). A
``FrameServer`` accepts only processes of the same user; a ``FrameClient`` reconnects by itself.
Requests carry an id and a deadline; the answer, a lost link or the passed deadline arrives in
exactly one call of the request's callback. Buffers and frames are bounded on both sides.
"""

import logging
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nanoclaw.codec import FrameError, decode, encode
from nanoclaw.errors import ConfigError
from nanoclaw.events import (
    FRAME_VERSION,
    DeadlinePassed,
    Envelope,
    Frame,
    Hello,
    LinkDown,
    Unsupported,
)
from nanoclaw.reactor import Reactor, Timer

MAX_FRAME_BYTES = 1024 * 1024
"""C-18: bytes of files never travel in frames, so a larger one is an error or an attack."""
MAX_BUFFER_BYTES = 16 * 1024 * 1024
"""Unsent bytes of one connection; a reader that is this far behind is given up."""
MAX_OPEN_REQUESTS = 4096
RECONNECT_SECONDS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_LENGTH = struct.Struct(">I")
_RECEIVE_BYTES = 256 * 1024

Answer = Frame | LinkDown | DeadlinePassed
OnAnswer = Callable[[Answer], None]

log = logging.getLogger(__name__)


class Handler(Protocol):
    """What a server or client does with frames that are not answers."""

    def on_request(self, peer: "Peer", request_id: int, body: Frame) -> None: ...

    def on_notice(self, peer: "Peer", body: Frame) -> None: ...

    def on_open(self, peer: "Peer", hello: Hello) -> None: ...

    def on_close(self, peer: "Peer") -> None: ...


class QuietHandler:
    """Ignores everything; base for handlers that care about some of it."""

    def on_request(self, peer: "Peer", request_id: int, body: Frame) -> None:
        peer.answer(request_id, Unsupported(type(body).__name__))

    def on_notice(self, peer: "Peer", body: Frame) -> None:
        pass

    def on_open(self, peer: "Peer", hello: Hello) -> None:
        pass

    def on_close(self, peer: "Peer") -> None:
        pass


class Peer:
    """One open connection, either side."""

    def __init__(
        self, reactor: Reactor, connection: socket.socket, hello: Hello, handler: Handler
    ) -> None:
        self._reactor = reactor
        self._socket = connection
        self._handler = handler
        self._received = bytearray()
        self._unsent = bytearray()
        self._requests: dict[int, tuple[OnAnswer, Timer]] = {}
        self._next_id = 1
        self._hello_seen = False
        self.name = ""
        self.closed = False
        connection.setblocking(False)
        reactor.watch(connection.fileno(), self._on_readable)
        self._send(Envelope(hello))

    def request(self, body: Frame, seconds: float, on_answer: OnAnswer) -> None:
        """Sends a request; ``on_answer`` is called exactly once, never before this returns."""
        if self.closed or len(self._requests) >= MAX_OPEN_REQUESTS:
            self._reactor.post(lambda: on_answer(LinkDown()))
            return
        request_id = self._next_id
        self._next_id += 1
        timer = self._reactor.call_later(seconds, lambda: self._expire(request_id, seconds))
        self._requests[request_id] = (on_answer, timer)
        self._send(Envelope(body, id=request_id))

    def answer(self, request_id: int, body: Frame) -> None:
        self._send(Envelope(body, re=request_id))

    def notify(self, body: Frame) -> None:
        self._send(Envelope(body))

    def close(self, reason: str = "closed") -> None:
        if self.closed:
            return
        self.closed = True
        self._reactor.unwatch(self._socket.fileno())
        self._socket.close()
        requests, self._requests = self._requests, {}
        for on_answer, timer in requests.values():
            timer.cancel()
            on_answer(LinkDown(reason))
        self._handler.on_close(self)

    def _expire(self, request_id: int, seconds: float) -> None:
        waiting = self._requests.pop(request_id, None)
        if waiting is not None:
            waiting[0](DeadlinePassed(seconds))

    def _send(self, envelope: Envelope) -> None:
        if self.closed:
            return
        payload = encode(envelope)
        if len(payload) > MAX_FRAME_BYTES:
            raise FrameError(f"{type(envelope.body).__name__} frame has {len(payload)} bytes")
        self._unsent += _LENGTH.pack(len(payload)) + payload
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            # Closing calls back into whoever is sending; let the sender finish first.
            detail = str(error)
            self._reactor.post(lambda: self.close(detail))
            return
        if len(self._unsent) > MAX_BUFFER_BYTES:
            self._reactor.post(lambda: self.close("peer does not read"))
        elif self._unsent:
            self._reactor.watch_writable(self._socket.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        self._flush()
        if not self._unsent and not self.closed:
            self._reactor.unwatch_writable(self._socket.fileno())

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(str(error))
            return
        if not data:
            self.close("peer closed the connection")
            return
        self._received += data
        try:
            self._take_frames()
        except FrameError as error:
            log.warning("bad frame", extra={"reason": str(error), "channel": self.name})
            self.close(str(error))

    def _take_frames(self) -> None:
        while not self.closed and len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._received) < end:
                return
            payload = bytes(self._received[_LENGTH.size : end])
            del self._received[:end]
            self._dispatch(decode(payload))

    def _dispatch(self, envelope: Envelope) -> None:
        body = envelope.body
        if not self._hello_seen:
            if not isinstance(body, Hello):
                raise FrameError("first frame is not Hello")
            if body.frame_version != FRAME_VERSION:
                raise FrameError(f"frame version {body.frame_version}, ours is {FRAME_VERSION}")
            self._hello_seen = True
            self.name = body.name
            self._handler.on_open(self, body)
        elif envelope.re is not None:
            waiting = self._requests.pop(envelope.re, None)
            if waiting is not None:
                waiting[1].cancel()
                waiting[0](body)
        elif envelope.id is not None:
            self._handler.on_request(self, envelope.id, body)
        else:
            self._handler.on_notice(self, body)


class FrameServer:
    """Listens on one Unix socket; every accepted connection becomes a Peer."""

    def __init__(self, reactor: Reactor, path: Path, hello: Hello, handler: Handler) -> None:
        self._reactor = reactor
        self._path = path
        self._hello = hello
        self._handler = handler
        self._peers: list[Peer] = []
        self._socket = listen_unix(path)
        reactor.watch(self._socket.fileno(), self._on_connection)

    def close(self) -> None:
        self._reactor.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for peer in self._peers:
            peer.close("server is stopping")

    def _on_connection(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        if peer_uid(connection) not in (None, os.getuid()):
            connection.close()
            return
        self._peers = [peer for peer in self._peers if not peer.closed]
        self._peers.append(Peer(self._reactor, connection, self._hello, self._handler))


class FrameClient:
    """Keeps one connection to ``path``, reconnecting with growing delay until ``close``."""

    def __init__(self, reactor: Reactor, path: Path, hello: Hello, handler: Handler) -> None:
        self._reactor = reactor
        self._path = path
        self._hello = hello
        self._handler = handler
        self._peer: Peer | None = None
        self._attempt = 0
        self._timer: Timer | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._peer is not None and not self._peer.closed

    def connect(self) -> None:
        """Tries now and keeps trying; returns at once."""
        if self._closed or self.connected:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.setblocking(False)  # a full backlog must answer EAGAIN, not block the loop
        try:
            connection.connect(os.fspath(self._path))
        except OSError:
            connection.close()
            self._retry_later()
            return
        self._peer = Peer(self._reactor, connection, self._hello, self)

    def request(self, body: Frame, seconds: float, on_answer: OnAnswer) -> None:
        if self._peer is None or self._peer.closed:
            self._reactor.post(lambda: on_answer(LinkDown()))
            return
        self._peer.request(body, seconds, on_answer)

    def notify(self, body: Frame) -> None:
        """Sends a hint; silently dropped while the connection is down."""
        if self._peer is not None and not self._peer.closed:
            self._peer.notify(body)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._peer is not None:
            self._peer.close()

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        self._handler.on_request(peer, request_id, body)

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self._handler.on_notice(peer, body)

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self._attempt = 0
        self._handler.on_open(peer, hello)

    def on_close(self, peer: Peer) -> None:
        self._handler.on_close(peer)
        self._retry_later()

    def _retry_later(self) -> None:
        if self._closed:
            return
        delay = RECONNECT_SECONDS[min(self._attempt, len(RECONNECT_SECONDS) - 1)]
        self._attempt += 1
        self._timer = self._reactor.call_later(delay, self.connect)


def listen_unix(path: Path, *, backlog: int = 64) -> socket.socket:
    """A listening socket with mode 0600 from its first moment; a stale one is replaced.

    Raises ConfigError when the path cannot be bound.
    """
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        server.bind(os.fspath(path))
    except OSError as error:
        server.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    server.listen(backlog)
    server.setblocking(False)
    return server


def peer_uid(connection: socket.socket) -> int | None:
    """User id of the process at the other end, or None where the platform cannot say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, 12))
    return int(uid)
