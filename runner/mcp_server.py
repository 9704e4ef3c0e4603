"""The tools of NanoClaw as an MCP server on standard input and output (R-148, R-149).

Started as ``python -P -m runner.mcp_server`` by agent programs that bring their own loop. The same
tool objects as in the runner, with connections of their own: which batch is answered comes from
``session_state``, so that ``in_reply_to`` is right here too (R-158). Standard output belongs to
the protocol. A call never fails as a request: whatever goes wrong is a result with its error flag.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contract.clock import to_text, utc_now
from contract.exits import RunnerExit
from contract.layout import RunnerPaths
from runner.desk.access import OwnStore
from runner.desk.batch import StoredBatch
from runner.desk.desk import Desk
from runner.errors import ConfigError, FencedOffError
from runner.lease import Lease
from runner.settings import Settings, read_settings
from runner.toolbox.base import Tool, ToolCall, ToolResult, error_result
from runner.tools.nanoclaw.base import SERVER_NAME
from runner.tools.nanoclaw.toolset import nanoclaw_tools

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

_log = logging.getLogger(__name__)

SERVER_VERSION = "2.0.0"


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="[mcp] %(message)s")
    try:
        settings = read_settings(RunnerPaths.from_environment(os.environ))
    except ConfigError as error:
        _log.error("%s cannot start: %s", to_text(utc_now()), error)
        return RunnerExit.CONFIG
    asyncio.run(_serve(settings))
    return RunnerExit.DONE


def make_tools(settings: Settings, store: OwnStore) -> tuple[Tool, ...]:
    """All tools, under their plain names."""
    desk = Desk(settings.paths, store, StoredBatch(settings.paths, store))
    return nanoclaw_tools(desk, settings.session.timezone, elsewhere=True)


def make_server(tools: Sequence[Tool]) -> "Server[Any]":
    """Imports the library, which takes 0.4 s."""
    import mcp_types as types
    from mcp.server.lowlevel import Server

    by_name = {tool.spec.name: tool for tool in tools}
    listed = types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool.spec.name,
                description=tool.spec.description,
                input_schema=dict(tool.spec.input_schema),
            )
            for tool in tools
        ]
    )

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return listed

    async def call_tool(
        _context: object, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        result = await call(by_name, params.name, params.arguments or {})
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=result.text)], is_error=result.is_error
        )

    return Server(
        SERVER_NAME, version=SERVER_VERSION, on_list_tools=list_tools, on_call_tool=call_tool
    )


async def call(tools: Mapping[str, Tool], name: str, arguments: Mapping[str, object]) -> ToolResult:
    """One call; never raises, except when it is cancelled."""
    tool = tools.get(name)
    if tool is None:
        return error_result(f"there is no tool named {name[:100]!r}")
    try:
        return await tool.run(arguments, ToolCall(id=""))
    except FencedOffError:
        return error_result("this container has been replaced by another one; nothing was done")
    except Exception:  # noqa: BLE001 a tool call's door: the client gets a result, whatever it was
        _log.exception("tool call failed: %s", name)
        return error_result(f"{name} failed unexpectedly; nothing is known about its effect")


async def _serve(settings: Settings) -> None:
    from mcp.server.stdio import stdio_server

    store = OwnStore(settings.paths, Lease(settings.paths.session_json, settings.session.lease))
    server = make_server(make_tools(settings, store))
    try:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
