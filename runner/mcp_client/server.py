"""One configured server: kept running, restarted when it dies, asked when it is there.

Called by ``source``. A keeper task starts the server, waits for its end and tries again with a
growing delay (R-271); a call that finds it down has it started at once. A call is repeated by
itself only when it never arrived or is declared harmless to repeat (R-273).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from contract.config import McpServer
from runner.mcp_client.failure import LostError, SlowError, UnavailableError
from runner.mcp_client.listing import ServerTool
from runner.mcp_client.surroundings import Surroundings
from runner.toolbox.base import ToolCall

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from runner.mcp_client.connection import Connection

STARTS_AT_ONCE = 8
FIRST_DELAY_SECONDS = 5.0
LAST_DELAY_SECONDS = 300.0
SETTLED_SECONDS = 60.0
"""A server that ran for so long has proved itself: its delays begin anew."""

WAIT_SECONDS = 35.0
"""How long a call waits for a server that is being started."""

SECOND_TRY_SECONDS = 5.0
"""What a repeated call gets at least, however late the first one broke off."""

_CONNECTIONS = "runner.mcp_client.connection"

DEFAULT_CALL_SECONDS = 120.0
MAX_CALL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Tests shorten them."""

    first: float = FIRST_DELAY_SECONDS
    last: float = LAST_DELAY_SECONDS
    settled: float = SETTLED_SECONDS
    wait: float = WAIT_SECONDS


@dataclass(slots=True)
class ServerSettings:
    """``prefix`` begins the names of its tools. ``starts`` limits how many start at once."""

    name: str
    prefix: str
    config: McpServer
    starts: asyncio.Semaphore
    around: Surroundings
    call_seconds: float = DEFAULT_CALL_SECONDS
    delays: Delays = field(default_factory=Delays)


class Server:
    """Used from one event loop. ``tools`` are the last known ones, also while it is down."""

    def __init__(self, settings: ServerSettings, logger: logging.Logger) -> None:
        self._settings = settings
        self._logger = logger
        self._keeper: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._attempting = False
        self._closed = False
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()
        self._known: tuple[ServerTool, ...] = ()
        self.reason = "it is still starting"
        self.first_outcome = asyncio.Event()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def prefix(self) -> str:
        return self._settings.prefix

    @property
    def call_seconds(self) -> float:
        return self._settings.call_seconds

    @property
    def declared_seconds(self) -> float:
        """The limit of a call together with the start of a server that is down."""
        return self.call_seconds + self._settings.delays.wait

    @property
    def is_up(self) -> bool:
        return self._connection is not None and self._connection.is_alive

    @property
    def pid(self) -> int | None:
        return None if self._connection is None else self._connection.pid

    @property
    def tools(self) -> tuple[ServerTool, ...]:
        if self._connection is not None and self._connection.is_alive:
            self._known = self._connection.tools
        return self._known

    @property
    def left_out(self) -> int:
        return 0 if self._connection is None else self._connection.left_out

    def tool(self, name: str) -> ServerTool | None:
        """By the server's own name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def start(self) -> None:
        """Begins to keep it running; repeatable."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        self._closed = True
        self._settled.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self) -> None:
        delay = self._settings.delays.first
        clock = asyncio.get_running_loop().time
        while True:
            self._wanted.clear()
            connection = await self._attempt()
            if connection is not None:
                began = clock()
                await self._stay_with(connection)
                if clock() - began >= self._settings.delays.settled:
                    delay = self._settings.delays.first
            try:
                async with asyncio.timeout(delay):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            delay = min(delay * 2, self._settings.delays.last)

    async def _attempt(self) -> "Connection | None":
        self._attempting = True
        self._settled.clear()
        try:
            # In a thread: the package takes half a second to import, and the loop goes on.
            module = await asyncio.to_thread(import_module, _CONNECTIONS)
            connection: Connection = module.Connection(self._settings.config, self._settings.around)
            async with self._settings.starts:
                await connection.open()
        except UnavailableError as error:
            self.reason = str(error)
            self._logger.warning("cannot be used: %s", self.reason)
            return None
        else:
            self._connection = connection
            self._logger.info("is up with %d tools", len(connection.tools))
            return connection
        finally:
            self._attempting = False
            self._settled.set()
            self.first_outcome.set()

    async def _stay_with(self, connection: "Connection") -> None:
        """Until its end; nothing of it is left then, even when the keeper is cancelled."""
        try:
            self.reason = await connection.ended()
            self._logger.warning("has ended: %s", self.reason)
        finally:
            self._known = connection.tools
            self._connection = None
            await connection.close()

    async def connected(self) -> "Connection":
        """Starts the server if it is down; raises UnavailableError."""
        if self._connection is not None and self._connection.is_alive:
            return self._connection
        if self._closed:
            raise UnavailableError("this agent is leaving")
        if not self._attempting:
            self._settled.clear()
            self._wanted.set()
        try:
            async with asyncio.timeout(self._settings.delays.wait):
                await self._settled.wait()
        except TimeoutError:
            raise UnavailableError(self.reason) from None
        connection = self._connection
        if connection is None or not connection.is_alive:
            raise UnavailableError(self.reason)
        return connection

    async def call(
        self, tool: str, arguments: Mapping[str, object], call: ToolCall
    ) -> "CallToolResult":
        """Raises McpError. A dead server is restarted once."""
        connection = await self.connected()
        clock = asyncio.get_running_loop().time
        ends = clock() + self.call_seconds
        try:
            return await self._ask(connection, tool, arguments, self.call_seconds, call)
        except LostError as error:
            known = self.tool(tool)
            harmless = not error.delivered or (known is not None and known.repeatable)
            try:
                connection = await self.connected()
            except UnavailableError as down:
                raise LostError(f"{error.reason}; starting it again failed: {down}") from error
            if not harmless:
                raise LostError(
                    f"{error.reason}; it was started again. Whether the call had an effect is"
                    " unknown: look before you repeat it"
                ) from error
        left = max(ends - clock(), SECOND_TRY_SECONDS)
        return await self._ask(connection, tool, arguments, left, call)

    async def _ask(
        self,
        connection: "Connection",
        tool: str,
        arguments: Mapping[str, object],
        seconds: float,
        call: ToolCall,
    ) -> "CallToolResult":
        try:
            return await connection.call(tool, arguments, seconds, call.activity)
        except SlowError:
            await connection.prove_alive()
            raise
