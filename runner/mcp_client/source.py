"""All MCP servers of this agent: what the toolbox knows of them (R-269 to R-275).

Made by ``program``, used by the toolbox. ``prepare`` starts the servers side by side in the
background; ``specs`` waits for them once, for a bounded time, and says what to declare. The list is
frozen by whoever asked (R-264): what changes afterwards is told in notes and reached through
``mcp_call``. A broken server costs its own tools and nothing else.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.config import McpServer
from runner.mcp_client.catalogue import (
    CALL,
    DESCRIBE,
    Offer,
    call_spec,
    declared,
    describe_spec,
    is_too_much,
    name_servers,
)
from runner.mcp_client.listing import clean, cut
from runner.mcp_client.names import is_reserved, safe
from runner.mcp_client.server import (
    DEFAULT_CALL_SECONDS,
    MAX_CALL_SECONDS,
    STARTS_AT_ONCE,
    Delays,
    Server,
    ServerSettings,
)
from runner.mcp_client.surroundings import Surroundings
from runner.mcp_client.tools import CallTool, DescribeTool, LateTool, declared_tool, shown
from runner.toolbox.base import Tool, ToolSpec
from runner.toolbox.source import Keeper

FIRST_WAIT_SECONDS = 15.0
CLOSE_SECONDS = 5.0
MAX_SERVERS = 50
SECRETS = frozenset({"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"})
"""Never handed to a child by inheritance (R-270); a server's own ``env`` may name them."""

_MAX_NAMED = 1500


@dataclass
class _Told:
    """What the model knows of a server: nothing yet, or whether it is up and with which tools."""

    up: bool | None = None
    tools: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class McpSettings:
    """``timeouts`` are seconds per call, by server (R-332). ``mode`` is for tests."""

    servers: Mapping[str, McpServer]
    environment: Mapping[str, str]
    cwd: Path
    spool: Keeper
    timeouts: Mapping[str, float] = field(default_factory=dict)
    mode: Literal["auto", "legacy"] = "auto"
    first_wait: float = FIRST_WAIT_SECONDS
    delays: Delays = field(default_factory=Delays)


class McpServers:
    """Implements ``McpSource`` of runner/toolbox/source.py. Used from one event loop."""

    def __init__(self, settings: McpSettings, logger: logging.Logger) -> None:
        self._settings = settings
        self._logger = logger
        self._usable = _usable(settings.servers, logger)
        self._names = name_servers(self._usable)
        self._servers: dict[str, Server] = {}
        self._told = {name: _Told() for name in self._usable}
        self._deadline = 0.0
        self._asked = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """Servers serve calls, and calls belong to a turn; none lives on between turns."""
        return False

    def server(self, name: str) -> Server | None:
        return self._servers.get(name)

    def prepare(self) -> None:
        """Starts all servers and returns at once; needs a running event loop."""
        if self._servers or self._closed or not self._usable:
            return
        inherited = {
            key: value for key, value in self._settings.environment.items() if key not in SECRETS
        }
        starts = asyncio.Semaphore(STARTS_AT_ONCE)
        for name, config in self._usable.items():
            logger = self._logger.getChild(safe(name))
            settings = ServerSettings(
                name=name,
                prefix=self._names.prefixes[name],
                config=config,
                starts=starts,
                around=Surroundings(inherited, self._settings.cwd, logger, self._settings.mode),
                call_seconds=call_seconds(self._settings.timeouts.get(name)),
                delays=self._settings.delays,
            )
            self._servers[name] = Server(settings, logger)
        for server in self._servers.values():
            server.start()
        self._deadline = asyncio.get_running_loop().time() + self._settings.first_wait

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What to declare now; waits for servers that are still starting, until the deadline."""
        if not self._usable:
            return ()
        self.prepare()
        await self._wait_for_first_outcomes()
        self._asked = True
        offers = [Offer(name, server.tools) for name, server in self._servers.items()]
        for name, server in self._servers.items():
            self._told[name] = _Told(
                up=server.is_up or None, tools=frozenset(tool.name for tool in server.tools)
            )
        if is_too_much(offers):
            return (call_spec(self._usable), describe_spec(offers, declared(offers, self._names)))
        return (call_spec(self._usable), describe_spec(), *declared(offers, self._names))

    async def _wait_for_first_outcomes(self) -> None:
        left = self._deadline - asyncio.get_running_loop().time()
        waiting = [server for server in self._servers.values() if not server.first_outcome.is_set()]
        if left <= 0 or not waiting:
            return
        try:
            async with asyncio.timeout(left):
                for server in waiting:
                    await server.first_outcome.wait()
        except TimeoutError:
            late = ", ".join(server.name for server in waiting)
            self._logger.warning("not waiting any longer for: %s", cut(clean(late), 500))

    def find(self, name: str) -> Tool | None:
        """By the name that a model uses, whether or not its server is up."""
        if not self._servers:
            return None
        if name == CALL:
            return CallTool(call_spec(self._usable), self._servers.get, self._settings.spool)
        if name == DESCRIBE:
            return DescribeTool(describe_spec(), self._servers.get, self._settings.spool)
        owner = self._names.server_of(name)
        if owner is None:
            return None
        server = self._servers[owner]
        original = self._original(name)
        tool = None if original is None else server.tool(original)
        if tool is not None:
            return declared_tool(name, tool, server, self._settings.spool)
        return LateTool(name, server, self._settings.spool, self._original)

    def _original(self, name: str) -> str | None:
        owner = self._names.server_of(name)
        if owner is not None:
            for tool in self._servers[owner].tools:
                self._names.name(owner, tool.name)
        known = self._names.original(name)
        return None if known is None else known[1]

    def take_notes(self) -> tuple[str, ...]:
        """What has changed since the model was last told; at most one note per server."""
        notes = (self._note(name, server) for name, server in self._servers.items())
        return tuple(note for note in notes if note)

    def _note(self, name: str, server: Server) -> str:
        told = self._told[name]
        if not self._asked:
            return ""
        if not server.is_up:
            if told.up is False:
                return ""
            self._told[name] = _Told(up=False, tools=told.tools)
            return (
                f"MCP server {shown(name)} is not available: {server.reason}. It is tried again"
                " by itself."
            )
        now = frozenset(tool.name for tool in server.tools)
        self._told[name] = _Told(up=True, tools=now)
        return _news(shown(name), told, now)

    async def close(self) -> None:
        """Ends all servers side by side; no process is left after CLOSE_SECONDS."""
        self._closed = True
        ends = [asyncio.create_task(server.close()) for server in self._servers.values()]
        if ends:
            _, late = await asyncio.wait(ends, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
                self._logger.warning("an MCP server did not end in time")


def call_seconds(configured: float | None) -> float:
    """Within what R-273 allows."""
    if configured is None or configured <= 0:
        return DEFAULT_CALL_SECONDS
    return min(configured, MAX_CALL_SECONDS)


def _usable(servers: Mapping[str, McpServer], logger: logging.Logger) -> dict[str, McpServer]:
    """Without names that are ours, in the order of their names."""
    usable: dict[str, McpServer] = {}
    for name in sorted(servers):
        if is_reserved(name):
            logger.warning("MCP server %s is refused: the name is reserved", shown(name))
        elif len(usable) >= MAX_SERVERS:
            logger.warning("MCP server %s is left out: more than %d", shown(name), MAX_SERVERS)
        else:
            usable[name] = servers[name]
    return usable


def _news(name: str, told: _Told, now: frozenset[str]) -> str:
    """Empty when there is nothing new."""
    added, removed = sorted(now - told.tools), sorted(told.tools - now)
    parts = []
    if added:
        parts.append(f"New tools, to be called with {CALL}: {_names(added)}.")
    if removed:
        parts.append(f"Not there any more: {_names(removed)}.")
    if told.up is False or (told.up is None and added):
        return " ".join([f"MCP server {name} is available now.", *parts])
    return " ".join([f"The tools of MCP server {name} have changed.", *parts]) if parts else ""


def _names(names: list[str]) -> str:
    return cut(", ".join(shown(name) for name in names), _MAX_NAMED)
