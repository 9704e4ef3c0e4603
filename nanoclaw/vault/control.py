"""``run/vault.sock``: the host's other processes tell the vault that the table of doors changed.

Frames as everywhere between the host's processes (``nanoclaw.codec``), read with asyncio because
the vault's loop is one. A request is answered when the doors are as the table says; a notice is a
hint. Only processes of the same user are heard.
"""

import asyncio
import logging
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from nanoclaw.codec import FrameError, decode, encode
from nanoclaw.events import DoorsChanged, Envelope, Hello, Ok, Refused, Unsupported
from nanoclaw.link import MAX_FRAME_BYTES, listen_unix, peer_uid
from nanoclaw.vault.books import BooksClosedError

MAX_PEERS = 32
_LENGTH = struct.Struct(">I")

log = logging.getLogger(__name__)


class Control:
    """``on_change`` may raise BooksClosedError."""

    def __init__(self, path: Path, hello: Hello, on_change: Callable[[], Awaitable[None]]) -> None:
        self._path = path
        self._hello = hello
        self._on_change = on_change
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises ConfigError when the path cannot be used."""
        self._server = await asyncio.start_unix_server(self._accept, sock=listen_unix(self._path))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for task in self._peers:
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        stranger = peer_uid(connection) not in (None, os.getuid())
        if stranger or len(self._peers) >= MAX_PEERS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._peers.add(task)
        task.add_done_callback(self._peers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _write(writer, Envelope(self._hello))
            if not isinstance((await _read(reader)).body, Hello):
                raise FrameError("first frame is not Hello")
            while True:
                answer = await self._answer(await _read(reader))
                if answer is not None:
                    _write(writer, answer)
                await writer.drain()
        except FrameError as error:
            log.warning("bad frame", extra={"reason": str(error)})
        except (OSError, EOFError):
            pass  # the peer is gone; it will come again
        finally:
            writer.transport.abort()

    async def _answer(self, envelope: Envelope) -> Envelope | None:
        body: Ok | Refused | Unsupported = Ok()
        if isinstance(envelope.body, DoorsChanged):
            try:
                await self._on_change()
            except BooksClosedError as error:
                log.warning("doors not compared", extra={"reason": str(error)})
                body = Refused(str(error))
        else:
            body = Unsupported(type(envelope.body).__name__)
        return None if envelope.id is None else Envelope(body, re=envelope.id)


async def _read(reader: asyncio.StreamReader) -> Envelope:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {length} bytes")
    return decode(await reader.readexactly(length))


def _write(writer: asyncio.StreamWriter, envelope: Envelope) -> None:
    payload = encode(envelope)
    writer.write(_LENGTH.pack(len(payload)) + payload)
