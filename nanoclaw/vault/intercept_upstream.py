"""The server's side of an intercepted connection: requests written anew, answers read as they come.

Used by ``intercept``, one link per client's connection and never shared. h11 writes what goes out
and reads what comes in, so nothing of the client's framing reaches the server. Errors say what
failed and nothing of what was sent.
"""

import asyncio

import h11

from nanoclaw.vault import limits
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.upstream import ForeignError, SilentError, UnreachableError

END_TO_END_ONLY = frozenset({
    "alt-svc", "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Of one connection only, in either direction; ``alt-svc`` would lead past this door."""


OVERRIDES = frozenset({
    "x-http-method", "x-http-method-override", "x-method-override", "x-original-url",
    "x-rewrite-url",
})  # fmt: skip
"""With them a server takes another method or path than the one that was judged."""


def override_in(headers: Headers) -> str | None:
    """A sentence for who sends one of these, or None."""
    found = next((name for name, _ in headers if name.replace("_", "-") in OVERRIDES), None)
    if found is None:
        return None
    return f"the header {found} names another method or address; write it as the request's own"


def end_to_end(headers: Headers) -> Headers:
    """Without what concerns one connection only, and what ``connection`` calls so itself."""
    named = {
        word.strip().lower()
        for name, value in headers
        if name == "connection"
        for word in value.split(",")
    } - {"content-length", "host", "authorization"}
    if any(name == "transfer-encoding" for name, _ in headers):
        named.add("content-length")  # counts for nothing then (RFC 9112 6.3), and may be wrong
    return tuple(item for item in headers if item[0] not in END_TO_END_ONLY | named)


class Link:
    """One TLS connection to the server. Reading and writing may be two tasks."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, local: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.MAX_HEAD_BYTES)
        self.local = local
        """Whether a private address was permitted when it was made."""
        self.used = False

    async def send_head(self, head: h11.Request) -> None:
        await self._write(head)

    async def send(self, data: bytes) -> None:
        await self._write(h11.Data(data=data))

    async def finish(self) -> None:
        await self._write(h11.EndOfMessage())

    async def head(self) -> tuple[int, Headers]:
        """Status and headers; 1xx is passed over. Raises UpstreamError."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event.status_code, tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in event.headers
                )
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise ForeignError(f"{type(event).__name__} in the place of an answer")

    async def piece(self) -> bytes | None:
        """Bytes of the answer; None at its end. Raises UpstreamError."""
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise ForeignError(f"{type(event).__name__} in the middle of an answer")

    def renew(self) -> bool:
        """After an answer: whether another request may be sent on it."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not done or self._reader.at_eof() or self._writer.is_closing():
            return False
        self._http.start_next_cycle()
        self.used = True
        return True

    def is_open(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        self._writer.write(data)
        try:
            async with asyncio.timeout(limits.SEND_SECONDS):
                await self._writer.drain()
        except TimeoutError:
            raise SilentError("it does not take the request") from None
        except OSError as error:
            raise UnreachableError(error.strerror or type(error).__name__) from error

    async def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise ForeignError(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                async with asyncio.timeout(limits.SILENCE_SECONDS):
                    data = await self._reader.read(limits.CHUNK_BYTES)
            except TimeoutError:
                raise SilentError("it stays silent") from None
            except OSError as error:
                raise UnreachableError(error.strerror or type(error).__name__) from error
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise UnreachableError("the connection was closed without an answer")
            self._http.receive_data(data)
