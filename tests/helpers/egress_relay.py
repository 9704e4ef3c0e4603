"""The container's relay, as a thread of the test."""

import asyncio
import threading

from helpers.vault_client import DoorClient

from contract.config import DoorConfig
from runner.door import Relay


class RelayThread:
    """A context manager; ``environment`` is what programs get."""

    def __init__(self, door: DoorClient) -> None:
        self._config = DoorConfig(token=door.token, folder=str(door.socket.parent))
        self._loop = asyncio.new_event_loop()
        self._finish = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        self.environment: dict[str, str] = {}

    def __enter__(self) -> "RelayThread":
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._finish.set)
        self._thread.join(20)
        self._loop.close()

    async def _run(self) -> None:
        relay = Relay(self._config)
        await relay.start()
        self.environment = relay.environment()
        self._started.set()
        await self._finish.wait()
        await relay.close()
