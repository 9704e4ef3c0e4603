"""A program of its own, in a container of its own: a socket inside, the vault's TCP port outside.

Started by the host where engines do not pass sockets in mounted folders (``containers.relays``).
Has a network and knows one thing: what its door's file says, read anew for each connection, because
a vault that starts again listens elsewhere. Passes bytes and understands none of them. ``probe``
and ``lookup`` answer what the host must know before.
"""

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path

from contract.layout import DOOR_FILE, DOOR_SOCKET

SOCKET_MODE = 0o666
CHUNK_BYTES = 64 * 1024
MAX_CONNECTIONS = 160
"""More than the vault takes per door, so that it is the one who chooses."""
MAX_FILE_BYTES = 4096
CONNECT_SECONDS = 8.0
"""Longer than the host needs to start a vault again that was killed."""
CONNECT_PAUSES = (0.02, 0.05, 0.1, 0.25, 0.5)
KEEPALIVE_SECONDS = 10
"""TCP does not tell a vault that hung up from one that ended its own direction; this finds out."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """``inside``: where the agent's side finds the socket; ``outside``: where the file lies."""

    def __init__(self, inside: Path, outside: Path, host: str) -> None:
        self._socket = inside / DOOR_SOCKET
        self._file = outside / DOOR_FILE
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        """Answers from the moment the socket is there."""
        self._socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._accept, self._socket, limit=CHUNK_BYTES)
        self._socket.chmod(SOCKET_MODE)
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._relay((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, agent: Streams) -> None:
        try:
            vault = await self._connect()
        except (OSError, ValueError, KeyError, TypeError) as error:
            _complain(f"no way to the vault: {error}")
            agent[1].transport.abort()
            return
        ways = {
            asyncio.create_task(_pass(agent[0], vault[1])),
            asyncio.create_task(_pass(vault[0], agent[1])),
        }
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            broken = any(task.exception() is not None for task in done)
        finally:
            for task in ways:
                task.cancel()
        for _, writer in (agent, vault):
            if broken:
                writer.transport.abort()
            else:
                writer.close()

    async def _connect(self) -> Streams:
        """Raises what the last attempt raised when there was none in time that worked."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_SECONDS
        attempt = 0
        while True:
            try:
                return await self._try()
            except (OSError, ValueError, KeyError, TypeError):
                pause = CONNECT_PAUSES[min(attempt, len(CONNECT_PAUSES) - 1)]
                if loop.time() + pause > deadline:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    async def _try(self) -> Streams:
        with self._file.open("rb") as file:
            given = json.loads(file.read(MAX_FILE_BYTES))
        line = f"door {given['door']} {given['proof']}\n"
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                self._host, int(given["port"]), limit=CHUNK_BYTES
            )
        _keep_alive(writer.get_extra_info("socket"))
        writer.write(line.encode())
        return reader, writer


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction to its end, which is passed on too."""
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, KEEPALIVE_SECONDS)


async def _serve_for_ever(relay: Relay) -> None:
    server = await relay.serve()
    await server.serve_forever()


def _probe(folder: str) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.connect(f"{folder}/{DOOR_SOCKET}")


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main(words: list[str]) -> int:
    """0: it worked. The answer of ``lookup`` is printed."""
    try:
        match words:
            case ["serve", inside, outside, host]:
                asyncio.run(_serve_for_ever(Relay(Path(inside), Path(outside), host)))
            case ["probe", folder]:
                _probe(folder)
            case ["lookup", host]:
                sys.stdout.write(socket.gethostbyname(host) + "\n")
            case _:
                _complain("serve INSIDE OUTSIDE HOST, probe FOLDER or lookup HOST")
                return 2
    except OSError as error:
        _complain(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
