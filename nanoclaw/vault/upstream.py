"""Connections to the model's address: HTTP/1.1 by h11, TLS by the standard library, kept alive.

Used by ``exchange``: one ``Call`` is one request and its answer, passed on piece by piece as it
comes. The address and the trusted certificates are the host's; nothing of either comes from an
agent. A connection goes back to the pool only after an answer was read to its end.
"""

import asyncio
import select
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from nanoclaw.vault import limits
from nanoclaw.vault.decide import Headers

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
"""Makes a connection to the address in another way; raises UpstreamError."""


class UpstreamError(Exception):
    """``args[0]`` says what failed, without what was sent."""


class UnreachableError(UpstreamError):
    """No connection, or it was lost."""


class SilentError(UpstreamError):
    """No byte for too long."""


class ForeignError(UpstreamError):
    """What came back is not HTTP."""


@dataclass(slots=True)
class _Link:
    """One connection. ``kept_at``: when it went into the pool."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    kept_at: float = 0.0
    reused: bool = False

    def is_usable(self) -> bool:
        young = time.monotonic() - self.kept_at < limits.POOL_IDLE_SECONDS
        return young and not self.reader.at_eof() and not self.writer.is_closing() and self._quiet()

    def _quiet(self) -> bool:
        """Nothing to read: on an idle connection even a byte means that it is being closed. Asked
        of the system, because the loop may not have looked since."""
        poll = select.poll()
        poll.register(self.writer.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer."""

    status: int
    headers: Headers


class Call:
    """One request under way. ``close`` in any case; an answer that was not read to its end costs
    the connection."""

    def __init__(self, upstream: "Upstream", link: _Link) -> None:
        self._upstream = upstream
        self._link = link

    async def send(self, head: h11.Request, body: bytes) -> None:
        """Raises UpstreamError."""
        http, writer = self._link.http, self._link.writer
        try:
            async with asyncio.timeout(limits.SEND_SECONDS):
                writer.write(_bytes(http, head))
                for start in range(0, len(body), limits.CHUNK_BYTES):
                    piece = h11.Data(data=body[start : start + limits.CHUNK_BYTES])
                    writer.write(_bytes(http, piece))
                    await writer.drain()
                _bytes(http, h11.EndOfMessage())
                await writer.drain()
        except TimeoutError:
            raise SilentError("it does not take the request") from None
        except OSError:
            return  # it closed its side early, perhaps after an answer: reading will tell

    async def head(self) -> Head:
        """Raises UpstreamError. What comes before the answer proper (1xx) is passed over."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return Head(event.status_code, _texts(event))
            if not isinstance(event, h11.InformationalResponse):
                raise ForeignError(f"{type(event).__name__} in the place of an answer")

    async def piece(self) -> bytes | None:
        """Bytes of the answer as they come; None at its end. Raises UpstreamError."""
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise ForeignError(f"{type(event).__name__} in the middle of an answer")

    @property
    def on_kept_connection(self) -> bool:
        """It may have died between two requests without anybody's fault."""
        return self._link.reused

    def close(self) -> None:
        self._upstream.give_back(self._link)

    async def _next(self) -> object:
        http, reader = self._link.http, self._link.reader
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError as error:
                raise ForeignError(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                async with asyncio.timeout(limits.SILENCE_SECONDS):
                    data = await reader.read(limits.CHUNK_BYTES)
            except TimeoutError:
                raise SilentError("it stays silent") from None
            except OSError as error:
                raise UnreachableError(_words(error)) from error
            if not data and http.their_state is h11.SEND_RESPONSE:
                raise UnreachableError("the connection was closed without an answer")
            http.receive_data(data)


class Upstream:
    """One address and its kept connections."""

    def __init__(
        self, base_url: str, ca: str | None = None, connect: Connect | None = None
    ) -> None:
        self._ca = ca
        self._connect_by = connect
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._context: ssl.SSLContext | None = None
        self._kept: deque[_Link] = deque()
        self.base_path = parts.path.rstrip("/")
        self.authority = parts.netloc

    async def open(self, *, fresh: bool = False) -> Call:
        """Raises UpstreamError. ``fresh``: on a new connection."""
        while self._kept and not fresh:
            link = self._kept.pop()
            if link.is_usable():
                link.reused = True
                return Call(self, link)
            link.writer.transport.abort()
        return Call(self, await self._connect())

    def give_back(self, link: _Link) -> None:
        http = link.http
        reusable = http.our_state is h11.DONE and http.their_state is h11.DONE
        if reusable and len(self._kept) < limits.POOL_SIZE and not link.reader.at_eof():
            http.start_next_cycle()
            link.kept_at = time.monotonic()
            self._kept.append(link)
        else:
            link.writer.transport.abort()

    def close(self) -> None:
        while self._kept:
            link = self._kept.pop()  # held: a writer that nobody holds complains before it ends
            link.writer.transport.abort()

    async def _connect(self) -> _Link:
        if self._connect_by is not None:
            reader, writer = await self._connect_by()
        else:
            reader, writer = await self._connect_itself()
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.MAX_HEAD_BYTES)
        return _Link(reader, writer, http)

    async def _connect_itself(self) -> Streams:
        try:
            async with asyncio.timeout(limits.CONNECT_SECONDS):
                return await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls_context(), limit=limits.CHUNK_BYTES
                )
        except TimeoutError:
            raise SilentError("it does not take a connection") from None
        except OSError as error:  # certificate errors are OSErrors too
            raise UnreachableError(_words(error)) from error

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._tls and self._context is None:
            context = ssl.create_default_context()
            if self._ca is not None:
                try:
                    context.load_verify_locations(self._ca)
                except OSError as error:  # also what is no certificate
                    text = "the endpoint's file of certificates (ca) cannot be used"
                    raise UnreachableError(text) from error
            self._context = context
        return self._context


def _bytes(http: h11.Connection, event: h11.Event) -> bytes:
    return http.send(event) or b""


def _texts(response: h11.Response) -> Headers:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers
    )


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return error.strerror or str(error) or type(error).__name__
