"""The administration socket of the running host: one JSON line in, one out, then closed.

Runs in the ``admin`` process on its Reactor (N-18 to N-26). Only the host's own user and root may
speak; lines are bounded in size and in time, so that no client can hold the process up. An answer
may come later (``dispatch``); whoever waits for one holds up nobody else, and who goes away in the
meantime ends nothing.
"""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from nanoclaw.admin.frames import (
    MAX_LINE_BYTES,
    BadFrameError,
    ErrorCode,
    Failure,
    Request,
    Response,
    dump_response,
    parse_request,
)
from nanoclaw.errors import ConfigError
from nanoclaw.link import listen_unix, peer_uid
from nanoclaw.reactor import Reactor

LINE_SECONDS = 30
"""From connecting to the end of the line, and again for reading our answer (N-24)."""
WAIT_SECONDS = 3600
"""For an answer that comes later: longer than any build."""
MAX_CLIENTS = 64
OWNER_ONLY = 0o077
ROOT_UID = 0
UNKNOWN_ID = "unknown"

log = logging.getLogger(__name__)

Handle = Callable[[Request, Callable[[Response], None]], None]
"""Calls back once with the answer, at once or later; never raises."""


class AdminServer:
    """Listens until ``close``."""

    def __init__(self, reactor: Reactor, path: Path, handle: Handle) -> None:
        self._reactor = reactor
        self._path = path
        self._handle = handle
        self._clients: set[_Client] = set()
        self._socket = listen_unix(path)
        _refuse_if_open_to_others(path, self._socket)
        reactor.watch(self._socket.fileno(), self._on_connection)
        log.info("admin socket open", extra={"reason": str(path)})

    def close(self) -> None:
        self._reactor.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for client in tuple(self._clients):
            client.close()

    def _on_connection(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            connection.close()
            return
        client = _Client(self._reactor, connection, self._handle, self._clients.discard)
        self._clients.add(client)
        if peer_uid(connection) not in (None, ROOT_UID, os.getuid()):
            message = "this socket is for the user that runs the host"
            client.answer(Failure(UNKNOWN_ID, ErrorCode.PERMISSION_DENIED, message))


def _refuse_if_open_to_others(path: Path, server: socket.socket) -> None:
    """N-20: on a file system that keeps no modes nobody is served."""
    mode = path.stat().st_mode
    if mode & OWNER_ONLY:
        server.close()
        raise ConfigError(
            f"{path} can be opened by others (mode {mode & 0o777:03o}); put the home folder on a "
            "file system that keeps permissions, or choose another with --home"
        )


class _Client:
    """One connection; only its first line counts."""

    def __init__(
        self,
        reactor: Reactor,
        connection: socket.socket,
        handle: Handle,
        on_close: Callable[["_Client"], None],
    ) -> None:
        self._reactor = reactor
        self._socket = connection
        self._handle = handle
        self._on_close = on_close
        self._received = bytearray()
        self._unsent = b""
        self._is_waiting = False
        connection.setblocking(False)
        self._timer = reactor.call_later(LINE_SECONDS, self.close)
        reactor.watch(connection.fileno(), self._on_readable)

    def answer(self, response: Response) -> None:
        """Sends the answer and closes; nothing more is read. Who has gone gets none."""
        if self._socket.fileno() < 0:
            return
        self._reactor.unwatch(self._socket.fileno())
        self._timer.cancel()
        self._timer = self._reactor.call_later(LINE_SECONDS, self.close)
        self._unsent = dump_response(response)
        self._reactor.watch_writable(self._socket.fileno(), self._on_writable)

    def close(self) -> None:
        self._timer.cancel()
        if self._socket.fileno() >= 0:
            self._reactor.unwatch(self._socket.fileno())
            self._socket.close()
        self._on_close(self)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._is_waiting:
            return  # a second line, or more of the first: not read (N-24)
        self._received += data
        self._take_line()

    def _take_line(self) -> None:
        line, newline, _ = bytes(self._received).lstrip(b"\r\n").partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            self._refuse(f"bad frame: longer than {MAX_LINE_BYTES} bytes")
        elif newline:
            try:
                request = parse_request(line)
            except BadFrameError as error:
                self._refuse(str(error))
            else:
                self._ask(request)

    def _ask(self, request: Request) -> None:
        """Meanwhile reading goes on, only to notice when the client goes away."""
        self._is_waiting = True
        self._timer.cancel()
        self._timer = self._reactor.call_later(WAIT_SECONDS, self.close)
        self._handle(request, self.answer)

    def _refuse(self, message: str) -> None:
        self.answer(Failure(UNKNOWN_ID, ErrorCode.TRANSPORT_ERROR, message))

    def _on_writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self.close()
