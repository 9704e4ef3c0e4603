"""An interception with everything real but the policy and the way to servers, which is loopback."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.central import make_home
from helpers.intercept_certificates import PublicAuthority

from contract.clock import utc_now
from nanoclaw.db import agent_groups, services
from nanoclaw.db import audit as audit_rows
from nanoclaw.db.audit import AuditRow
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.doors import Door
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import Kind
from nanoclaw.secret_store.store import SecretStore, open_store
from nanoclaw.vault.books import Books
from nanoclaw.vault.client import Streams
from nanoclaw.vault.egress_types import (
    BlockedError,
    Destination,
    EgressRequest,
    Judgement,
    Verdict,
)
from nanoclaw.vault.injection import Injector
from nanoclaw.vault.intercept import Interception, InterceptionParts
from nanoclaw.vault.leak_guard import LeakGuard

SECRET = "ghp-marker-5f4e3d2c1b0a"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Policy:
    """Allows everything unless told otherwise; ``seen`` is what it was asked."""

    service: str | None = None
    denied: str | None = None
    seen: list[EgressRequest] = field(default_factory=list)

    async def judge(self, request: EgressRequest) -> Judgement:
        self.seen.append(request)
        if self.denied is not None and (request.path or "").startswith(self.denied):
            return Judgement(Verdict.DENY, f"{request.path} is not allowed", "test")
        return Judgement(Verdict.ALLOW, "", "test", local=True, service=self.service)


class LoopbackOpener:
    """Every host is a port here; certificates are checked as ever."""

    def __init__(self, trusting: ssl.SSLContext) -> None:
        self.ports: dict[str, int] = {}
        self._trusting = trusting
        self.opened = 0

    async def open_checked(
        self, destination: Destination, judgement: Judgement, door: Door | None = None
    ) -> Streams:
        self.opened += 1
        try:
            return await asyncio.open_connection(
                "127.0.0.1", self.ports[destination.host], ssl=self._trusting,
                server_hostname=destination.host,
            )  # fmt: skip
        except ssl.SSLCertVerificationError as error:
            text = f"the certificate of {destination.host} is not valid: {error.verify_message}"
            raise BlockedError(text) from error
        except OSError as error:
            raise BlockedError(f"{destination.host} cannot be reached: {error}") from error


@dataclass(slots=True)
class Stage:
    """Inside ``asyncio.run``: servers, the interception, and a proxy in front of it."""

    paths: HostPaths
    group: str
    public: PublicAuthority
    policy: Policy
    egress: LoopbackOpener
    interception: Interception
    store: SecretStore
    books: Books
    port: int = 0
    servers: list[asyncio.Server] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def ca(self) -> Path:
        return self.paths.authority / "ca.pem"

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def door(self) -> Door:
        return Door("sess-1", self.group, "0a1b2c3d", "hash", 1, utc_now())

    def service(self, **values: object) -> Service:
        self.policy.service = "test"
        given: dict[str, object] = {
            "name": "test", "kind": ServiceKind.HEADER, "hosts": ("api.test",),
            "header": "authorization", "template": "Bearer {secret}", "secret": "test-token",
            "created_at": utc_now(), "updated_at": utc_now(), "updated_by": "host", **values,
        }  # fmt: skip
        service = Service(**given)  # type: ignore[arg-type] # as the tests give them
        with closing(open_central(self.paths.central_db)) as conn, transaction(conn):
            services.put(conn, service)
        return service

    def secret(self, value: str = SECRET) -> None:
        self.store.put("test-token", value, Kind.AUTH_TOKEN, utc_now())

    def audit(self) -> list[AuditRow]:
        with closing(open_central(self.paths.central_db)) as conn:
            return [row for row in audit_rows.after(conn, 0, 1000) if row.kind == "injection"]

    async def serve(self, host: str, handler: Handler, *, days: int = 20, name: str = "") -> None:
        """``name``: whose certificate it shows, if not its own."""
        context = self.public.server(name or host, days=days)
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
        self.servers.append(server)
        self.egress.ports[host] = server.sockets[0].getsockname()[1]

    async def start(self) -> None:
        problem = await self.interception.missing()
        assert problem is None, problem
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.books.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._proxy(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the real one does with a CONNECT, in short."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, authority, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        host, _, port = authority.decode().rpartition(":")
        transport = writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        request = EgressRequest(self.door(), Destination(host, int(port), tls=True))
        judgement = Judgement(Verdict.INSPECT, "", "test", service=self.policy.service)
        try:
            await self.interception.serve(_Keyhole(self.door()), request, judgement, reader, writer)
        finally:
            writer.transport.abort()


@dataclass(slots=True)
class _Keyhole:
    door: Door

    def fits(self, token: str) -> bool:
        return True


def make_stage(folder: Path) -> Stage:
    config, conn = make_home(folder)
    with closing(conn):
        group = agent_groups.list_all(conn)[0].id
    public = PublicAuthority.make(folder)
    policy = Policy()
    egress = LoopbackOpener(public.trusting())
    books = Books(config.paths.central_db)
    store = open_store(config)
    guard = LeakGuard(config, {}, books)
    injector = Injector(books, open_store(config))
    interception = Interception(InterceptionParts(config.paths, policy, egress, injector, guard))
    return Stage(config.paths, group, public, policy, egress, interception, store, books)


def on_stage(folder: Path, play: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        stage = make_stage(folder)
        await stage.start()
        try:
            await play(stage)
        finally:
            await stage.close()

    asyncio.run(run())


@contextmanager
def running_stage(folder: Path, prepare: Callable[[Stage], Awaitable[None]]) -> Iterator[Stage]:
    """On a thread, for clients that are programs or block."""
    ready = threading.Event()
    found: list[Stage] = []
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def run() -> None:
        stage = make_stage(folder)
        await stage.start()
        await prepare(stage)
        found.append(stage)
        ready.set()
        await stopped.wait()
        await stage.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with what came, head and body; kept alive."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        body = head
        lower = head.lower()
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            body += await reader.readexactly(length)
        elif b"transfer-encoding: chunked" in lower:
            body += await reader.readuntil(b"0\r\n\r\n")
        answer = b"" if head.startswith(b"HEAD") else body
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nAlt-Svc: h3\r\nContent-Length: "
            + str(len(body)).encode() + b"\r\n\r\n" + answer
        )  # fmt: skip
        await writer.drain()
    writer.transport.abort()
