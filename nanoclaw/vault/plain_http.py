"""One proxied HTTP request: taken apart, written anew, sent on; its answer likewise.

Used by ``egress`` for ``http://`` and by whoever looks into TLS. Nothing passes as it came: the
request is parsed, its framing and its hop-by-hop headers are ours, so there are no two ways to read
it. Bodies go through in pieces, each side held back by the other.
"""

import asyncio
import re
from dataclasses import dataclass, replace

import h11

from nanoclaw.vault import denial, limits
from nanoclaw.vault.client import Client, ClientGoneError, Incoming, RefusedError, Streams
from nanoclaw.vault.client import while_there as unless_gone
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.egress_types import Destination
from nanoclaw.vault.intercept_upstream import override_in
from nanoclaw.vault.leak_guard import BodyWindow

HOP_BY_HOP = frozenset({
    "connection", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
SWITCH = 101
_OURS = frozenset({"host", "content-length", "expect"})
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_NOT_PROXIED = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True)
class Onward:
    """A request as it goes on. ``length`` None: its body comes in pieces of unknown number."""

    method: str
    target: str
    headers: Headers
    length: int | None
    authority: str

    def head_bytes(self) -> bytes:
        """All of the head that is the client's own words."""
        lines = [self.target, *(f"{name}: {value}" for name, value in self.headers)]
        return "\n".join(lines).encode("latin-1", "replace")

    def through_proxy(self, authorization: str) -> "Onward":
        """The same for a proxy behind us, whose login is ours and not the client's."""
        login = (("proxy-authorization", authorization),) if authorization else ()
        target = f"http://{self.authority}{self.target}"
        return replace(self, target=target, headers=(*self.headers, *login))


def onward(incoming: Incoming, destination: Destination, target: str) -> Onward:
    """Raises RefusedError for what is not sent on. ``target`` is path and query."""
    if not _METHOD.fullmatch(incoming.method) or incoming.method in _NOT_PROXIED:
        raise RefusedError(denial.bad_target(f"{incoming.method[:32]} is not sent on"))
    if any(name == "upgrade" for name, _ in incoming.headers):
        raise RefusedError(denial.bad_target("a change of protocol (upgrade) is not possible here"))
    if (other := override_in(incoming.headers)) is not None:
        raise RefusedError(denial.bad_target(other))
    length = _length(incoming.headers)
    headers = tuple(
        (name, value) for name, value in _end_to_end(incoming.headers) if name not in _OURS
    )
    default = 443 if destination.tls else 80
    authority = destination.authority
    if destination.port == default:
        authority = authority.rpartition(":")[0]
    return Onward(incoming.method, target, headers, length, authority)


async def forward(
    client: Client, request: Onward, streams: Streams, window: BodyWindow | None = None
) -> bool:
    """Sends it, its body through ``window``, and passes the answer to the client; closes
    ``streams``. Returns whether another request may follow. Raises RefusedError and
    ClientGoneError."""
    reader, writer = streams
    far = _Far(reader, writer)
    sending = asyncio.ensure_future(_send(client, request, far, window))
    heading = asyncio.ensure_future(far.head())
    try:
        # A server may answer before it has everything; what it does not want is not sent.
        await asyncio.wait({sending, heading}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
            head = await unless_gone(client, _result(heading))
        else:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            head = heading.result()
        return await unless_gone(client, _pass_back(client, far, head))
    finally:
        for task in (sending, heading):
            task.cancel()
        await asyncio.gather(sending, heading, return_exceptions=True)
        writer.transport.abort()


class _Far:
    """The server's side. Raises RefusedError in plain words."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.MAX_HEAD_BYTES)

    async def write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(limits.SEND_SECONDS):
                await self._writer.drain()

    async def head(self) -> h11.Response:
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            switches = isinstance(event, h11.InformationalResponse) and event.status_code == SWITCH
            if switches or not isinstance(event, h11.InformationalResponse):
                raise _foreign("it changes the protocol or does not answer")

    async def piece(self) -> bytes | None:
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise _foreign("its answer breaks off")

    async def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _foreign(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                async with asyncio.timeout(limits.EGRESS_SILENCE_SECONDS):
                    data = await self._reader.read(limits.CHUNK_BYTES)
            except TimeoutError:
                raise RefusedError(denial.blocked("the server stays silent", 504)) from None
            except OSError as error:
                text = f"the connection to the server was lost: {error.strerror or error}"
                raise RefusedError(denial.blocked(text, 502)) from error
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                text = "the server closed the connection without an answer"
                raise RefusedError(denial.blocked(text, 502))
            self._http.receive_data(data)


async def _result(task: "asyncio.Future[h11.Response]") -> h11.Response:
    return await task


async def _send(client: Client, request: Onward, far: _Far, window: BodyWindow | None) -> None:
    try:
        await far.write(_head(request))
        async with asyncio.timeout(limits.EGRESS_BODY_SECONDS):
            async for piece in client.pieces(limits.MAX_EGRESS_BODY_BYTES):
                free = piece if window is None else await window.feed(piece)
                await far.write(h11.Data(data=free))
            if window is not None:
                await far.write(h11.Data(data=await window.finish()))
        await far.write(h11.EndOfMessage())
    except TimeoutError:
        text = "the request did not get through in time"
        raise RefusedError(denial.blocked(text, 504)) from None
    except OSError:
        return  # it closed its side early, perhaps after an answer: reading will tell


def _head(request: Onward) -> h11.Request:
    headers = [("host", request.authority), *request.headers, ("connection", "close")]
    if request.length is None:
        headers.append(("transfer-encoding", "chunked"))
    elif request.length or request.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        headers.append(("content-length", str(request.length)))
    return h11.Request(method=request.method, target=request.target, headers=headers)


async def _pass_back(client: Client, far: _Far, head: h11.Response) -> bool:
    texts = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    await client.begin(head.status_code, tuple(_end_to_end(texts)))
    try:
        while (data := await far.piece()) is not None:
            await client.send(data)
    except RefusedError as error:
        # Half an answer must not look like a whole one: the connection breaks off.
        raise ClientGoneError from error
    return await client.finish()


def _length(headers: Headers) -> int | None:
    """Of the body, in the one way that has one reading. Raises RefusedError."""
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise RefusedError(denial.bad_target("the length of the body is given more than once"))
    if codings:
        if codings[0].strip().lower() != "chunked":
            raise RefusedError(denial.bad_target("of transfer codings only 'chunked' is taken"))
        return None
    if not lengths:
        return 0
    if not re.fullmatch(r"[0-9]{1,15}", lengths[0]):
        raise RefusedError(denial.bad_target("the content-length is not one number"))
    if int(lengths[0]) > limits.MAX_EGRESS_BODY_BYTES:
        text = f"the body has {lengths[0]} bytes, more than {limits.MAX_EGRESS_BODY_BYTES}"
        raise RefusedError(denial.Denial(413, "request_too_large", text, close=True))
    return int(lengths[0])


def _end_to_end(headers: Headers) -> list[tuple[str, str]]:
    """Without what belongs to one connection, and without what that connection named so."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name == "connection"
        for token in value.split(",")
    }
    # A request could otherwise have its own length or host taken out from under it.
    named -= {"content-length", "host"}
    if any(name == "transfer-encoding" for name, _ in headers):
        named.add("content-length")  # counts for nothing then (RFC 9112 6.3), and may be wrong
    return [
        (name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named
    ]


def _foreign(detail: str) -> RefusedError:
    return RefusedError(denial.blocked(f"the server does not speak HTTP properly: {detail}", 502))
