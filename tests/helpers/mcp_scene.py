"""MCP servers for tests: the scripted program, McpServers around it, and calls by short names."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from contract.config import McpServer
from runner.mcp_client.server import Delays
from runner.mcp_client.source import McpServers, McpSettings
from runner.toolbox.base import ToolCall, ToolResult

PROGRAM = Path(__file__).with_name("mcp_server_program.py")
QUICK = Delays(first=0.05, last=0.2, settled=0.0, wait=20.0)


class FolderSpool:
    """Keeps long results in a folder, as the toolbox's own spool does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def keep(self, content: bytes, suffix: str) -> Path | None:
        self._number += 1
        path = self._folder / f"{self._number}{suffix}"
        path.write_bytes(content)
        return path


def scripted(*behaviours: str, **env: str) -> McpServer:
    return McpServer(command=sys.executable, args=(str(PROGRAM), *behaviours), env=env)


@dataclass
class Scene:
    """``call`` runs a tool as the toolbox would; ``lives`` counts signs of life."""

    servers: McpServers
    lives: list[str] = field(default_factory=list)

    async def run(self, name: str, /, **arguments: Any) -> ToolResult:
        tool = self.servers.find(name)
        assert tool is not None, f"no tool {name}"
        return await tool.run(arguments, ToolCall("call", lambda: self.lives.append(name)))

    async def call(self, tool: str, /, **arguments: Any) -> ToolResult:
        return await self.run(f"mcp__fake__{tool}", **arguments)

    async def names(self) -> list[str]:
        return [spec.name for spec in await self.servers.specs()]

    def pid(self, server: str = "fake") -> int:
        found = self.servers.server(server)
        assert found is not None
        assert found.pid is not None
        return found.pid


@asynccontextmanager
async def scene(
    folder: Path,
    servers: Mapping[str, McpServer],
    *,
    mode: Literal["auto", "legacy"] = "auto",
    environment: Mapping[str, str] | None = None,
    timeouts: Mapping[str, float] | None = None,
    first_wait: float = 15.0,
    delays: Delays = QUICK,
) -> AsyncIterator[Scene]:
    """Closes whatever happens, as the runner does."""
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    mcp = McpServers(
        McpSettings(
            servers=servers,
            environment=dict(os.environ) if environment is None else environment,
            cwd=folder,
            spool=FolderSpool(spool),
            timeouts=timeouts or {},
            mode=mode,
            first_wait=first_wait,
            delays=delays,
        ),
        logging.getLogger("runner.mcp"),
    )
    try:
        yield Scene(mcp)
    finally:
        await mcp.close()


def is_alive(pid: int) -> bool:
    """Zombies count as dead: they wait for their parent only."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


async def until(predicate: Callable[[], object], what: str, within: float = 10.0) -> None:
    """``wait_until`` for code that shares its event loop with what it waits for."""
    try:
        async with asyncio.timeout(within):
            while not predicate():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {within} s in vain for: {what}") from None


def numbers(result: ToolResult) -> list[int]:
    value = json.loads(result.text)
    assert isinstance(value, list)
    return value
