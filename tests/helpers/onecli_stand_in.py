"""A stand-in for OneCLI: its documented HTTP interface and the proxy that injects, on loopback.

``with OneCli(folder) as onecli`` gives both. Agents register, get their configuration, and go
through the proxy, which looks into every connection, puts ``INJECTED`` in and may first ask for
approval. Requests that wait are also made by hand with ``hold``. ``answers`` replaces what a path
says; ``down`` and ``up`` end and begin it at the same port.
"""

import base64
import http.client
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from helpers.intercept_certificates import PublicAuthority
from helpers.waiting import wait_until

from contract.clock import to_text, utc_now

KEY = "oc_marker_1f2e3d4c5b6a"
INJECTED = "Bearer injected-by-the-gateway"
Raw = Callable[[BaseHTTPRequestHandler], None]


@dataclass(slots=True)
class Waiting:
    """One request that the gateway holds."""

    fields: dict[str, object]
    expires: float
    decision: str | None = None


@dataclass(slots=True)
class OneCli:
    """``key`` None: it asks for none. ``conflict``: agents are known already."""

    folder: Path
    key: str | None = None
    hold_seconds: float = 2.0
    approve_first: bool = False
    agents: dict[str, str] = field(default_factory=dict)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    passed: list[tuple[str, str, str]] = field(default_factory=list)
    """Agent, method and address of everything that went through the proxy."""
    asked: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    answers: dict[str, Raw] = field(default_factory=dict)
    env: dict[str, object] = field(default_factory=dict)
    tunnels: set[socket.socket] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    password: str = "first"
    ports: list[int] = field(default_factory=lambda: [0, 0])
    _servers: list[ThreadingHTTPServer] = field(default_factory=list)
    _authority: PublicAuthority | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __enter__(self) -> "OneCli":
        self.folder.mkdir(exist_ok=True)
        self._authority = PublicAuthority.make(self.folder)
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def ca(self) -> str:
        assert self._authority is not None
        return self._authority.file.read_text()

    def up(self) -> None:
        handlers = (_api_of(self), _proxy_of(self))
        self._servers = [
            _Server(("127.0.0.1", port), handler)
            for port, handler in zip(self.ports, handlers, strict=True)
        ]
        self.ports = [server.server_port for server in self._servers]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        with self.changed:
            servers, self._servers = self._servers, []
            self.changed.notify_all()
        for server in servers:
            server.shutdown()
            server.server_close()

    def end_tunnels(self) -> None:
        """Those that are kept open."""
        for tunnel in list(self.tunnels):
            with suppress(OSError):
                tunnel.shutdown(socket.SHUT_RDWR)

    def server_context(self, host: str) -> ssl.SSLContext:
        assert self._authority is not None
        return self._authority.server(host)

    # --- what waits -------------------------------------------------------------------------------

    def hold(
        self, agent: str | None, *, seconds: float = 60.0, more: Mapping[str, object] | None = None
    ) -> str:
        """A request that waits for a person; its id."""
        request_id = f"req-{next(self._numbers)}"
        expires = utc_now() + timedelta(seconds=seconds)
        fields: dict[str, object] = {
            "id": request_id,
            "method": "POST",
            "url": "https://api.example.com/v1/things?x=1",
            "host": "api.example.com",
            "path": "/v1/things?x=1",
            "headers": {"authorization": "Bearer header-marker"},
            "bodyPreview": '{"name": "a thing"}',
            "agent": {"id": "1", "name": "Andy", "externalId": agent},
            "createdAt": to_text(utc_now()),
            "expiresAt": to_text(expires),
            "timeoutSeconds": seconds,
            **(more or {}),
        }
        with self.changed:
            self.waiting[request_id] = Waiting(fields, time.monotonic() + seconds)
            self.changed.notify_all()
        return request_id

    def decision(self, request_id: str) -> str | None:
        return self.waiting[request_id].decision

    def wait_for_decision(self, request_id: str, within: float = 15) -> str:
        found = wait_until(
            lambda: self.decision(request_id), within=within, what=f"{request_id} is decided"
        )
        assert found is not None
        return found

    def pending(self, exclude: set[str]) -> list[dict[str, object]]:
        """Waits up to ``hold_seconds`` for one that is not excluded."""
        deadline = time.monotonic() + self.hold_seconds
        with self.changed:
            while True:
                found = [
                    item.fields
                    for request_id, item in self.waiting.items()
                    if item.decision is None
                    and item.expires > time.monotonic()
                    and request_id not in exclude
                ]
                left = deadline - time.monotonic()
                if found or left <= 0 or not self._servers:
                    return found
                self.changed.wait(min(left, 0.1))

    def decide(self, request_id: str, decision: str) -> int:
        with self.changed:
            self.decisions.append((request_id, decision))
            item = self.waiting.get(request_id)
            if item is None or item.decision is not None or item.expires < time.monotonic():
                return 410
            item.decision = decision
            self.changed.notify_all()
            return 200

    def is_allowed(self, agent: str, method: str, host: str, path: str) -> bool:
        """Of the proxy: asks first, where it was told to."""
        if not self.approve_first:
            return True
        request_id = self.hold(
            agent,
            seconds=20,
            more={"method": method, "host": host, "path": path, "url": f"https://{host}{path}"},
        )
        with self.changed:
            self.changed.wait_for(lambda: self.decision(request_id) is not None, 20)
        return self.decision(request_id) == "approve"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away early are part of the tests."""


def _api_of(onecli: OneCli) -> type[BaseHTTPRequestHandler]:
    return type("Api", (_Api,), {"onecli": onecli})


def _proxy_of(onecli: OneCli) -> type[BaseHTTPRequestHandler]:
    return type("Proxy", (_Proxy,), {"onecli": onecli})


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    onecli: OneCli

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at what was seen instead."""

    def say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Api(_Quiet):
    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self._serve(json.loads(body) if body else {})

    def _serve(self, body: dict[str, str]) -> None:
        onecli, parts = self.onecli, urlsplit(self.path)
        onecli.asked.append(f"{self.command} {self.path}")
        onecli.keys.add(self.headers.get("authorization", ""))
        replaced = onecli.answers.get(parts.path)
        if replaced is not None:
            replaced(self)
        elif onecli.key and self.headers.get("authorization") != f"Bearer {onecli.key}":
            self.say(401, {"error": "no key"})
        elif parts.path == "/api/agents":
            known = body["identifier"] in onecli.agents
            onecli.agents[body["identifier"]] = body["name"]
            self.say(409 if known else 201, {})
        elif parts.path == "/api/container-config":
            self._configuration(parse_qs(parts.query)["agent"][0])
        elif parts.path == "/api/gateway-url":
            self.say(200, {"url": onecli.url})
        elif parts.path == "/api/approvals/pending":
            ids = set(filter(None, parse_qs(parts.query).get("exclude", [""])[0].split(",")))
            self.say(200, {"requests": onecli.pending(ids), "timeoutSeconds": 60})
        elif parts.path.startswith("/api/approvals/") and parts.path.endswith("/decision"):
            self.say(onecli.decide(unquote(parts.path.split("/")[3]), body["decision"]), {})
        else:
            self.say(404, {})

    def _configuration(self, agent: str) -> None:
        onecli = self.onecli
        if agent not in onecli.agents:
            self.say(404, {})
            return
        proxy = f"http://{agent}:{onecli.password}@host.docker.internal:{onecli.ports[1]}"
        env = {
            "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
            "ANTHROPIC_API_KEY": "placeholder",
            "NODE_EXTRA_CA_CERTS": "/tmp/onecli-ca.pem",
            "GH_TOKEN": "placeholder",
            **onecli.env,
        }
        self.say(
            200,
            {
                "env": {name: env[name] for name in env.keys() - onecli.left_out},
                "caCertificate": onecli.ca,
                "caCertificateContainerPath": "/tmp/onecli-ca.pem",
            },
        )


class _Proxy(_Quiet):
    def do_CONNECT(self) -> None:
        agent = self._agent()
        if agent is None:
            self.say(407, {})
            return
        host, _, port = self.path.rpartition(":")
        self.send_response(200, "Connection established")
        self.end_headers()
        self.close_connection = True
        self.connection.settimeout(20)
        self.onecli.tunnels.add(self.connection)
        inner = self.connection
        if inner.recv(1, socket.MSG_PEEK) == b"\x16":
            context = self.onecli.server_context(host)
            inner = context.wrap_socket(self.connection, server_side=True)
        try:
            _pass_all(self.onecli, agent, inner, (host, int(port)))
        except (OSError, http.client.HTTPException):
            return
        finally:
            inner.close()

    def do_GET(self) -> None:
        """A request that names the whole address."""
        agent = self._agent()
        if agent is None:
            self.say(407, {})
            return
        parts = urlsplit(self.path)
        where = (parts.hostname or "", parts.port or 80)
        path = parts._replace(scheme="", netloc="").geturl()
        self.close_connection = True
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers.pop("proxy-authorization")
        _pass(
            self.onecli, agent, self.wfile,
            (where, self.command, path, headers, self.rfile.read(length)),
        )  # fmt: skip

    def do_POST(self) -> None:
        self.do_GET()

    def _agent(self) -> str | None:
        kind, _, encoded = self.headers.get("proxy-authorization", "").partition(" ")
        if kind != "Basic":
            return None
        agent, _, password = base64.b64decode(encoded).decode().partition(":")
        return agent if password == self.onecli.password and agent in self.onecli.agents else None


def _pass_all(onecli: OneCli, agent: str, inner: socket.socket, where: tuple[str, int]) -> None:
    with inner.makefile("rb") as reading, inner.makefile("wb") as writing:
        while line := reading.readline(65536):
            method, path, _ = line.decode("latin-1").split(" ", 2)
            found = http.client.parse_headers(reading)
            headers = {name.lower(): value for name, value in found.items()}
            body = reading.read(int(headers.get("content-length") or 0))
            _pass(onecli, agent, writing, (where, method, path, headers, body))


Request = tuple[tuple[str, int], str, str, dict[str, str], bytes]


def _pass(onecli: OneCli, agent: str, writing: BufferedIOBase, request: Request) -> None:
    """On to the server of that port on this machine, whatever the host is called."""
    (host, port), method, path, headers, body = request
    onecli.passed.append((agent, method, f"{host}:{port}{path}"))
    if not onecli.is_allowed(agent, method, host, path):
        _write(writing, 403, [("content-type", "text/plain")], b"denied")
        return
    headers.pop("x-api-key", None)
    headers["authorization"] = INJECTED
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    kept = [
        (name, value)
        for name, value in answer.getheaders()
        if name.lower() not in ("transfer-encoding", "content-length", "connection")
    ]
    _write(writing, answer.status, kept, content)


def _write(
    writing: BufferedIOBase, status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode("latin-1")
    writing.write(head + body)
    writing.flush()
