"""One connection from a container, seen as HTTP: requests in, answers out, nothing for ever.

Used by ``doors``, ``exchange`` and the parts of egress. Whatever comes is hostile: every read has
an end in time and in size, and a connection that was misunderstood once is not listened to again.
Writing waits for the reader, which is what holds a stream back.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import TypeVar

import h11

from nanoclaw.vault import limits
from nanoclaw.vault.answers import Refusal, bad_request, too_large, too_slow
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.denial import Denial

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PATIENCE = limits.Patience()
JSON: Headers = (("content-type", "application/json"),)


class ClientGoneError(Exception):
    """It hung up, or takes nothing any more."""


class RefusedError(Exception):
    """``refusal`` is to be the answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Incoming:
    """The head of a request; header names are in lower case."""

    method: str
    target: str
    headers: Headers


class Client:
    """Used by one task, except ``gone``, which another one may wait for meanwhile."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        patience: limits.Patience = PATIENCE,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.MAX_HEAD_BYTES)
        self._early_bytes = 0
        self._idle_since = time.monotonic()
        self.idle = True
        """Whether no request is being worked on, so that nothing is lost with the connection."""
        writer.transport.set_write_buffer_limits(high=limits.CHUNK_BYTES)

    @property
    def idle_seconds(self) -> float:
        """Since when no request is being worked on; 0 while one is."""
        return time.monotonic() - self._idle_since if self.idle else 0.0

    async def next_request(self) -> Incoming | None:
        """None when there will be no more. Raises RefusedError and ClientGoneError."""
        self.idle = True
        self._idle_since = time.monotonic()
        if not self._http.trailing_data[0]:
            try:
                await self._receive(self._patience.idle)
            except TimeoutError:
                return None
        self.idle = False
        try:
            async with asyncio.timeout(self._patience.head):
                event = await self._event()
        except TimeoutError:
            raise RefusedError(too_slow("the head of the request came too slowly")) from None
        if isinstance(event, h11.ConnectionClosed):
            return None
        if not isinstance(event, h11.Request):
            raise ClientGoneError
        return Incoming(
            event.method.decode("latin-1"),
            event.target.decode("latin-1"),
            tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
            ),
        )

    async def body(self, length: int) -> bytes:
        """The whole body, of the length that was announced. Raises as ``next_request``."""
        await self._welcome()
        received = bytearray()
        try:
            async with asyncio.timeout(self._patience.body):
                while not isinstance(event := await self._event(), h11.EndOfMessage):
                    if not isinstance(event, h11.Data):
                        raise ClientGoneError
                    received += event.data
        except TimeoutError:
            raise RefusedError(too_slow("the body of the request came too slowly")) from None
        if len(received) != length:
            raise RefusedError(bad_request("the body is not as long as announced"))
        return bytes(received)

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """The body as it comes, however it is framed, up to ``most`` bytes."""
        await self._welcome()
        received = 0
        while True:
            try:
                async with asyncio.timeout(self._patience.body):
                    event = await self._event()
            except TimeoutError:
                raise RefusedError(too_slow("the body of the request came too slowly")) from None
            if isinstance(event, h11.EndOfMessage):
                return
            if not isinstance(event, h11.Data):
                raise ClientGoneError
            received += len(event.data)
            if received > most:
                raise RefusedError(too_large(f"the request has more than {most} bytes"))
            yield bytes(event.data)

    async def open_tunnel(self, *, paused: bool) -> Streams:
        """Answers a CONNECT with 200; from here on the bytes are somebody else's. ``paused``:
        nothing more is read until the transport's reading is resumed."""
        while isinstance(event := self._http.next_event(), h11.EndOfMessage):
            pass
        early = self._http.trailing_data[0]
        if event is not h11.PAUSED or early:
            raise RefusedError(bad_request("bytes came before the tunnel was there"))
        if paused:
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await self._write(
            h11.Response(status_code=200, headers=[], reason=b"Connection established")
        )
        return self._reader, self._writer

    async def begin(self, status: int, headers: Headers) -> None:
        await self._write(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        await self._write(h11.Data(data=data))

    async def finish(self) -> bool:
        """Ends the answer; whether another request may follow."""
        await self._write(h11.EndOfMessage())
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._early_bytes = 0
            return True
        return False

    async def refuse(self, refusal: Refusal) -> bool:
        """An answer of our own; whether another request may follow."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False  # half an answer is out already
        body = refusal.body()
        more = refusal.headers if isinstance(refusal, Denial) else JSON
        headers = [*more, ("content-length", str(len(body)))]
        unread = self._http.their_state is h11.SEND_BODY
        if unread and isinstance(refusal, Denial):
            unread = not self._has_no_body()  # curl and git try again on the same connection
        if refusal.close or unread or self._http.their_state is h11.ERROR:
            headers.append(("connection", "close"))
        reason = refusal.reason if isinstance(refusal, Denial) else b""
        await self._write(h11.Response(status_code=refusal.status, headers=headers, reason=reason))
        await self._write(h11.Data(data=body))
        if await self.finish():
            return True
        await self._linger()
        return False

    async def gone(self) -> None:
        """Returns when it has hung up. What it sends meanwhile waits, within limits."""
        while True:
            try:
                data = await self._reader.read(limits.CHUNK_BYTES)
            except OSError:
                return
            self._http.receive_data(data)
            self._early_bytes += len(data)
            if not data or self._early_bytes > limits.MAX_HEAD_BYTES:
                return

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        """Lets out what was written, for a moment."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._patience.linger):
                await self._writer.wait_closed()

    def _has_no_body(self) -> bool:
        """Of a request that is to be refused: whether its head was all of it."""
        try:
            return isinstance(self._http.next_event(), h11.EndOfMessage)
        except h11.RemoteProtocolError:
            return False

    async def _welcome(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))

    async def _event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                text = f"this is not a proper HTTP request: {error}"
                status = error.error_status_hint
                refusal = Refusal(status, "invalid_request_error", text, close=True)
                raise RefusedError(refusal) from error
            if event is not h11.NEED_DATA:
                return event
            await self._receive(None)

    async def _receive(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(limits.CHUNK_BYTES)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise ClientGoneError from error
        self._http.receive_data(data)

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._patience.write):
                await self._writer.drain()
        except OSError as error:  # a time-out is one
            raise ClientGoneError from error

    async def _linger(self) -> None:
        """Reads on for a moment: closing over unread bytes would cost the client our answer."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._patience.linger):
                self._writer.write_eof()
                for _ in range(limits.LINGER_BYTES // limits.CHUNK_BYTES):
                    if not await self._reader.read(limits.CHUNK_BYTES):
                        return


async def while_there(client: Client, doing: Coroutine[object, object, T]) -> T:
    """Does it unless the client hangs up before it is done. Raises ClientGoneError."""
    work = asyncio.ensure_future(doing)
    gone = asyncio.ensure_future(client.gone())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGoneError
        return work.result()
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)
