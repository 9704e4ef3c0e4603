"""A web on loopback: a server with pages made by functions, and a proxy that leads names to it.

``with Web() as web`` gives both; ``web.environment`` is what a container would have. The proxy
speaks plain HTTP and CONNECT, records every request, and leads every host to the server unless
the host is in ``refused``.
"""

import http.client
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Page:
    """What a path answers. ``body`` may be written by hand through ``write``."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    write: Callable[[BaseHTTPRequestHandler], None] | None = None


class Web:
    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.refused: set[str] = set()
        self.proxied: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _page_handler(self))
        self._proxy = _Server(("127.0.0.1", 0), _proxy_handler(self))
        self.port: int = self._server.server_address[1]
        self.proxy_port: int = self._proxy.server_address[1]
        self.tls_port: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self.proxy_port}"
        return {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost,127.0.0.1"}

    def page(
        self, path: str, body: bytes | str = b"", *, status: int = 200, **headers: str
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Page(data, status, named)

    def second_server(self) -> ThreadingHTTPServer:
        """The same pages at another port, not started; the caller ends it."""
        return _Server(("127.0.0.1", 0), _page_handler(self))

    def __enter__(self) -> Self:
        for server in (self._server, self._proxy):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        for server in (self._server, self._proxy):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away early are part of the tests."""


def _page_handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            page = web.pages.get(self.path, Page(b"not here", 404, {"content-type": "text/plain"}))
            if page.write is not None:
                self.close_connection = True
                page.write(self)
                return
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at what was seen instead."""

    return Handler


def _proxy_handler(web: Web) -> type[BaseHTTPRequestHandler]:
    return type("ProxyHandler", (_ProxyHandler,), {"web": web})


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.web.proxied.append(f"{self.command} {parts.hostname}")
        self.close_connection = True
        if parts.hostname in self.web.refused:
            self.send_error(403, "Not allowed by the policy of this group")
            return
        length = int(self.headers.get("content-length", "0"))
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=20)
        try:
            path = parts._replace(scheme="", netloc="").geturl() or "/"
            body = self.rfile.read(length) if length else None
            connection.request(self.command, path, body, dict(self.headers))
            self._pass_on(connection.getresponse())
        finally:
            connection.close()

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        with answer:
            while piece := answer.read1(65536):
                self.wfile.write(piece)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        self.web.proxied.append(f"CONNECT {host}")
        self.close_connection = True
        if host in self.web.refused or self.web.tls_port is None:
            self.send_error(403, "Not allowed by the policy of this group")
            return
        with socket.create_connection(("127.0.0.1", self.web.tls_port), timeout=20) as other:
            self.send_response(200)
            self.end_headers()
            _join(self.connection, other, self.web.stopping)

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at what was proxied instead."""


def _join(one: socket.socket, other: socket.socket, stopping: threading.Event) -> None:
    ends = {one: other, other: one}
    while not stopping.is_set():
        ready, _, _ = select.select(list(ends), [], [], 0.1)
        for end in ready:
            data = end.recv(65536)
            if not data:
                return
            ends[end].sendall(data)
