"""The relay inside the container: a loopback port that passes bytes to the vault's socket.

Started by ``program`` before the provider, imported late because a scripted agent needs none.
Knows nothing of what passes: the vault checks the token of every request. A vault that restarts is
waited for a few seconds, so that a request made just then is late and not lost. Everything is
bounded, and each side's speed holds back the other's.
"""

import asyncio
import contextlib
import logging
import select
from pathlib import Path

from contract.config import DoorConfig
from contract.layout import DOOR_SOCKET
from runner.log import fields

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PROXY_USER = "agent"
"""The vault looks at the password only, which is the token."""
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
NO_PROXY = "127.0.0.1,localhost,::1"
MAX_CONNECTIONS = 64
"""As many as the vault serves per door; further ones wait for a place."""
MAX_WAITING = 192
CHUNK_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
LOOK_SECONDS = 0.25
"""Between two looks at a vault that has ended its direction."""
CONNECT_SECONDS = 8.0
"""Longer than the host needs to start a vault again that was killed."""
CONNECT_PAUSES = (0.02, 0.05, 0.1, 0.25, 0.5)


class Relay:
    """Used from the event loop's thread; ``start`` and ``close`` frame its use."""

    def __init__(self, door: DoorConfig, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._token = door.token
        self._socket = Path(door.folder) / DOOR_SOCKET
        self._connect_seconds = connect_seconds
        self._server: asyncio.Server | None = None
        self._port = 0
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def base_url(self) -> str:
        """For whoever speaks the Messages API."""
        return f"http://{HOST}:{self._port}"

    def environment(self) -> dict[str, str]:
        """What the runner sets for itself and for everything it starts."""
        proxy = f"http://{PROXY_USER}:{self._token}@{HOST}:{self._port}"
        return {
            "ANTHROPIC_BASE_URL": self.base_url,
            "ANTHROPIC_AUTH_TOKEN": self._token,
            **dict.fromkeys(PROXY_VARIABLES, proxy),
            **dict.fromkeys(NO_PROXY_VARIABLES, NO_PROXY),
            "NODE_USE_ENV_PROXY": "1",
        }

    async def start(self) -> None:
        """Listens on a free port; raises OSError when there is none."""
        self._server = await asyncio.start_server(self._accept, HOST, 0, limit=CHUNK_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cuts what is still open; returns when everything is gone."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closing or len(self._tasks) >= MAX_CONNECTIONS + MAX_WAITING:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._places:
                await self._relay(reader, writer)
        except OSError as error:
            _log.debug("connection cut", extra=fields(reason=error))
        finally:
            writer.transport.abort()  # harmless after an orderly end

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            vault_reader, vault_writer = await self._connect()
        except OSError as error:
            _log.warning("the door does not open", extra=fields(reason=error))
            return
        sending = asyncio.create_task(_send(reader, vault_writer))
        try:
            await _pass(vault_reader, writer)
            await _half(writer, vault_writer, sending)
            # The vault's side decides: what it has ended is over, whatever the client still sends.
            sending.cancel()
            await asyncio.wait({sending})
            await _finish(reader, writer)
        finally:
            sending.cancel()
            vault_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises the last OSError when nobody listens for so long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._connect_seconds
        attempt = 0
        while True:
            try:
                return await asyncio.open_unix_connection(self._socket, limit=CHUNK_BYTES)
            except OSError:
                pause = CONNECT_PAUSES[min(attempt, len(CONNECT_PAUSES) - 1)]
                if loop.time() + pause > deadline:
                    raise
            attempt += 1
            await asyncio.sleep(pause)


async def _send(reader: asyncio.StreamReader, vault: asyncio.StreamWriter) -> None:
    """Requests. Their end is passed on, so that the vault notices a client that went away; a vault
    that takes no more may still have an answer on its way."""
    try:
        await _pass(reader, vault)
        vault.write_eof()
    except OSError:
        if reader.exception() is not None:
            vault.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _half(
    writer: asyncio.StreamWriter, vault: asyncio.StreamWriter, sending: "asyncio.Task[None]"
) -> None:
    """The other side of a tunnel has ended its own direction; ours goes on until it ends too, or
    the vault hangs up. Returns at once when it has, as after an answer."""
    if _is_gone(vault):
        return
    with contextlib.suppress(OSError):
        writer.write_eof()
    while not sending.done() and not _is_gone(vault):
        await asyncio.wait({sending}, timeout=LOOK_SECONDS)


def _is_gone(vault: asyncio.StreamWriter) -> bool:
    """Whether the other end is closed in both directions; reading alone cannot tell."""
    descriptor = vault.get_extra_info("socket").fileno()
    if descriptor < 0 or vault.transport.is_closing():
        return True
    watch = select.poll()
    watch.register(descriptor, 0)
    return bool(watch.poll(0))


async def _finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads on for a moment: closing over unread bytes would cost the client the last answer."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(LINGER_SECONDS):
            if writer.can_write_eof():
                writer.write_eof()
            while await reader.read(CHUNK_BYTES):
                pass
