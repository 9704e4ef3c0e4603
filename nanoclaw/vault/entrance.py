"""The vault's TCP entrance, for relays of engines that do not pass sockets in mounted folders.

Owned by ``doors``. Listens only while ``run/network.json`` says that relays are in use, on the one
address under which containers find the host. Each door has a random proof, made anew with every
vault, in a file of its folder that only its relay can see. A connection begins with one line that
names the door and shows the proof; what follows goes the way of a connection to the door's socket.
"""

import asyncio
import hmac
import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from contract.killpoint import reached
from contract.layout import DOOR_FILE
from nanoclaw.containers.files import write_file
from nanoclaw.containers.network import read_network
from nanoclaw.paths import HostPaths
from nanoclaw.vault import limits

LOOPBACK = "127.0.0.1"
"""Where an engine in a virtual machine sends what is meant for the host."""
MAX_LINE_BYTES = 256
MAX_GREETING = 64
"""Connections that have not shown their proof yet."""
PROOF_BYTES = 32

OnConnection = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], None]

log = logging.getLogger(__name__)


class Entrance:
    """Every method runs on the event loop's thread."""

    def __init__(self, paths: HostPaths, on_connection: OnConnection) -> None:
        self._paths = paths
        self._on_connection = on_connection
        self._server: asyncio.Server | None = None
        self._address = ""
        self._proofs: dict[str, str] = {}
        self._greeting: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """0 while it does not listen."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    async def prepare(self) -> None:
        """Makes what listens equal to what was found out about the engine."""
        facts = read_network(self._paths)
        address = facts.address if facts is not None and facts.is_relay else ""
        if address == self._address:
            return
        await self.close()
        if not address:
            return
        for candidate in (address, LOOPBACK):
            try:
                self._server = await asyncio.start_server(
                    self._accept, candidate, 0, limit=limits.CHUNK_BYTES
                )
            except OSError as error:
                log.debug("not an address of ours", extra={"reason": str(error)})
                continue
            self._address = address
            log.info("entrance for relays", extra={"reason": f"{candidate}:{self.port}"})
            return
        log.error("no entrance for relays", extra={"reason": f"cannot listen on {address}"})

    def offer(self, name: str, folder: Path) -> None:
        """Lets the door's relay in, and tells it how."""
        if self._server is None or name in self._proofs:
            return
        proof = secrets.token_urlsafe(PROOF_BYTES)
        self._proofs[name] = proof
        content = {"door": name, "port": self.port, "proof": proof}
        try:
            write_file(folder / DOOR_FILE, json.dumps(content) + "\n")
        except OSError as error:
            del self._proofs[name]
            log.error("door not offered", extra={"reason": str(error)})
        reached("vault.door_offered")

    def withdraw(self, name: str) -> None:
        self._proofs.pop(name, None)

    async def close(self) -> None:
        """Whoever was let in stays."""
        server, self._server, self._address = self._server, None, ""
        self._proofs.clear()
        if server is not None:
            server.close()
        for task in self._greeting:
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._greeting) >= MAX_GREETING:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._greet(reader, writer))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = None
        try:
            async with asyncio.timeout(limits.HELLO_SECONDS):
                name = self._door_of(await reader.readline())
        except (OSError, ValueError):  # a TimeoutError is an OSError
            pass
        finally:
            if name is None:
                writer.transport.abort()
        if name is not None:
            self._on_connection(name, reader, writer)

    def _door_of(self, line: bytes) -> str | None:
        """None for whoever cannot prove where it comes from."""
        words = line.decode("ascii", "replace").split() if len(line) <= MAX_LINE_BYTES else []
        if len(words) != 3 or words[0] != "door" or not line.endswith(b"\n"):
            return None
        _, name, presented = words
        expected = self._proofs.get(name, "")
        same = hmac.compare_digest(presented.encode("utf-8", "replace"), expected.encode())
        return name if same and expected else None
