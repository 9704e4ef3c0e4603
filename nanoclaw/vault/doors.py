"""The doors: one socket per open row of the table ``doors``, and the connections through it.

Owned by ``service``. The table is the control; a nudge, and a slow timer without one, make what
listens equal to what it says. A socket is made in a folder that is mounted into a container, so a
vault that starts again makes it anew there and the container connects to that. A door that is gone
from the table takes its connections with it at once.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from contract.killpoint import reached
from contract.layout import DOOR_FILE, DOOR_SOCKET
from nanoclaw.db.doors import Door
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths, make_private_folder
from nanoclaw.vault import limits
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.client import Client, ClientGoneError, RefusedError
from nanoclaw.vault.dispatch import Dispatch
from nanoclaw.vault.entrance import Entrance

FOLDER_MODE = 0o711
SOCKET_MODE = 0o666
"""The container's user is another one; the private folder above keeps everybody else out."""
FOLDER_NAME = re.compile(r"[0-9a-f]{8}")
BACKLOG = 64
MOSTLY_FULL = limits.MAX_CONNECTIONS_PER_DOOR - limits.SPARE_CONNECTIONS_PER_DOOR

log = logging.getLogger(__name__)


class OpenDoor:
    """One session's socket."""

    def __init__(self, door: Door, folder: Path) -> None:
        self.door = door
        self.folder = folder
        self.clients: dict[asyncio.Task[None], Client] = {}
        self.server: asyncio.Server | None = None
        self._hash = door.token_hash.encode()

    def fits(self, token: str) -> bool:
        """In the same time whatever the token is."""
        presented = hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()
        return self.server is not None and hmac.compare_digest(presented.encode(), self._hash)

    def end_idle(self) -> None:
        for client in self.clients.values():
            if client.idle:
                client.abort()

    def make_room(self) -> None:
        """Silent connections do not keep new ones out: the one that is idle longest goes."""
        if len(self.clients) >= MOSTLY_FULL:
            idle = max(self.clients.values(), key=lambda client: client.idle_seconds)
            if idle.idle_seconds > limits.SPARED_IDLE_SECONDS:
                idle.abort()

    def shut(self) -> None:
        """Nobody comes in any more; who is in, stays."""
        server, self.server = self.server, None
        if server is not None:
            server.close()

    def cut(self) -> list[asyncio.Task[None]]:
        for task in self.clients:
            task.cancel()
        return list(self.clients)


class Doors:
    """All of them; every method runs on the event loop's thread."""

    def __init__(self, paths: HostPaths, books: Books, dispatch: Dispatch) -> None:
        self._folder = paths.doors
        self._books = books
        self._dispatch = dispatch
        self._open: dict[str, OpenDoor] = {}
        self._entrance = Entrance(paths, self._on_relayed)
        self._lock = asyncio.Lock()
        self._connections = 0
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    async def reconcile(self) -> None:
        """Makes what listens equal to what the table says. Raises BooksClosedError."""
        async with self._lock:
            # Folders first: one that is listed had its row before, if it has one.
            listed = self._listed()
            wanted = {door.folder: door for door in await self._books.open_doors()}
            for name, open_door in list(self._open.items()):
                if wanted.get(name) != open_door.door:
                    del self._open[name]
                    self._entrance.withdraw(name)
                    await self._close(open_door)
            for name in listed - wanted.keys():
                _remove(self._folder / name)
            for name, door in wanted.items():
                if name not in self._open and not self._stopping and FOLDER_NAME.fullmatch(name):
                    await self._listen(door)
            if not self._stopping:
                await self._entrance.prepare()
                for name, open_door in self._open.items():
                    self._entrance.offer(name, open_door.folder)

    async def reconcile_for_ever(self) -> None:
        """What nudges do at once, done slowly too."""
        while True:
            await asyncio.sleep(limits.RECONCILE_SECONDS)
            try:
                await self.reconcile()
            except BooksClosedError as error:
                log.warning("doors not compared", extra={"reason": str(error)})

    async def close(self) -> None:
        """Answers that are under way get a moment; folders stay, containers have them mounted."""
        self._stopping = True
        await self._entrance.close()
        for open_door in self._open.values():
            open_door.shut()
            open_door.end_idle()
        tasks = [task for open_door in self._open.values() for task in open_door.clients]
        if tasks:
            await asyncio.wait(tasks, timeout=limits.STOP_SECONDS)
        for open_door in self._open.values():
            open_door.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, door: Door) -> None:
        folder = self._folder / door.folder
        open_door = OpenDoor(door, folder)
        try:
            make_private_folder(self._folder)
            folder.mkdir(exist_ok=True)
            folder.chmod(FOLDER_MODE)
            listener = _listener(folder / DOOR_SOCKET)
        except (OSError, ConfigError) as error:
            log.error("door not opened", extra={"session": door.session_id, "reason": str(error)})
            return

        def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._on_connection(open_door, reader, writer)

        open_door.server = await asyncio.start_unix_server(
            on_connection, sock=listener, limit=limits.CHUNK_BYTES, backlog=BACKLOG
        )
        self._open[door.folder] = open_door
        reached("vault.door_opened")
        log.info("door opened", extra={"session": door.session_id, "group": door.agent_group_id})

    async def _close(self, open_door: OpenDoor) -> None:
        open_door.shut()
        await asyncio.gather(*open_door.cut(), return_exceptions=True)
        _remove(open_door.folder)
        log.info("door closed", extra={"session": open_door.door.session_id})

    def _on_connection(
        self, open_door: OpenDoor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        open_door.make_room()
        full = len(open_door.clients) >= limits.MAX_CONNECTIONS_PER_DOOR
        if full or self._connections >= limits.MAX_CONNECTIONS or open_door.server is None:
            writer.transport.abort()
            return
        client = Client(reader, writer)
        task = asyncio.get_running_loop().create_task(self._serve(open_door, client))
        open_door.clients[task] = client
        self._connections += 1
        task.add_done_callback(lambda done: self._on_end(open_door, done))

    def _on_relayed(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if (open_door := self._open.get(name)) is None:
            writer.transport.abort()
        else:
            self._on_connection(open_door, reader, writer)

    def _on_end(self, open_door: OpenDoor, task: asyncio.Task[None]) -> None:
        open_door.clients.pop(task, None)
        self._connections -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "connection failed",
                extra={"session": open_door.door.session_id},
                exc_info=(type(error), error, error.__traceback__),
            )

    async def _serve(self, open_door: OpenDoor, client: Client) -> None:
        """One connection to its end."""
        try:
            await self._converse(open_door, client)
            await client.close()
        except ClientGoneError:
            pass  # it will not hear anything we could say
        finally:
            client.abort()

    async def _converse(self, open_door: OpenDoor, client: Client) -> None:
        while not self._stopping:
            try:
                incoming = await client.next_request()
            except RefusedError as refused:
                await client.refuse(refused.refusal)
                return
            if incoming is None:
                return
            if not await self._dispatch.answer(open_door, incoming, client):
                return

    def _listed(self) -> set[str]:
        try:
            return {
                path.name for path in self._folder.iterdir() if FOLDER_NAME.fullmatch(path.name)
            }
        except OSError:
            return set()


def _listener(path: Path) -> socket.socket:
    """A socket that answers from the moment it is there for others."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(os.fspath(path))
        path.chmod(SOCKET_MODE)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _remove(folder: Path) -> None:
    """A folder of ours: the socket and a relay's file, and nothing else, are in it."""
    with suppress(OSError):
        for name in (DOOR_SOCKET, DOOR_FILE, f".{DOOR_FILE}.new"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
