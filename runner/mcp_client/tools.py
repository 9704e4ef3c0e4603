"""The tools that a model sees for MCP servers: one per server tool, ``mcp_call``, ``mcp_describe``.

Made by ``source``, run by the toolbox. A call never raises for a server's fault: what went wrong is
told in a sentence that names the server, the tool and the next step.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.mcp_client.catalogue import CALL, DESCRIBE, spec_of
from runner.mcp_client.failure import (
    LostError,
    McpError,
    RefusedError,
    SlowError,
    UnavailableError,
)
from runner.mcp_client.listing import ServerTool, clean, cut
from runner.mcp_client.results import bounded_text, translate
from runner.mcp_client.schema import ANYTHING
from runner.mcp_client.server import Server
from runner.toolbox.base import (
    Arguments,
    ToolCall,
    ToolResult,
    ToolSpec,
    error_result,
    text_result,
)
from runner.toolbox.source import Keeper

_MAX_NAME = 256
_NEARBY = 20

FindServer = Callable[[str], Server | None]


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A tool that was in the list when the conversation began, wherever its server is now."""

    spec: ToolSpec
    server: Server
    tool: str
    spool: Keeper

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return self.server.declared_seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        return await run_call(self.server, self.tool, arguments, call, self.spool)


@dataclass(frozen=True, slots=True)
class LateTool:
    """A name of a server whose tools are not known yet: an earlier process has declared it."""

    name: str
    server: Server
    spool: Keeper
    original: Callable[[str], str | None]
    """The server's own name of the tool, once its list is there."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "(the server is not up yet)", ANYTHING)

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return self.server.declared_seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        try:
            await self.server.connected()
        except UnavailableError as error:
            return error_result(in_a_sentence(self.server.name, self.name, error))
        tool = self.original(self.name)
        if tool is None:
            return error_result(_no_such_tool(self.server, self.name))
        return await run_call(self.server, tool, arguments, call, self.spool)


@dataclass(frozen=True, slots=True)
class CallTool:
    """``mcp_call``."""

    spec: ToolSpec
    find_server: FindServer
    spool: Keeper

    def declared_seconds(self, arguments: Arguments) -> float | None:
        server = self.find_server(str(arguments.get("server", "")))
        return None if server is None else server.declared_seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        server = self.find_server(str(arguments.get("server", "")))
        if server is None:
            return error_result(_no_such_server(arguments))
        tool = str(arguments.get("tool", ""))[:_MAX_NAME]
        given = read_arguments(arguments.get("arguments"))
        if given is None:
            return error_result("arguments must be an object with the tool's parameters")
        try:
            await server.connected()
        except UnavailableError as error:
            return error_result(in_a_sentence(server.name, tool, error))
        known = own_name(server, tool)
        if known is None:
            return error_result(_no_such_tool(server, tool))
        return await run_call(server, known, given, call, self.spool)


@dataclass(frozen=True, slots=True)
class DescribeTool:
    """``mcp_describe``."""

    spec: ToolSpec
    find_server: FindServer
    spool: Keeper

    def declared_seconds(self, arguments: Arguments) -> float | None:
        server = self.find_server(str(arguments.get("server", "")))
        return None if server is None else server.declared_seconds

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        server = self.find_server(str(arguments.get("server", "")))
        if server is None:
            return error_result(_no_such_server(arguments))
        wanted = str(arguments.get("tool") or "")[:_MAX_NAME]
        try:
            await server.connected()
        except UnavailableError as error:
            if not server.tools:
                return error_result(in_a_sentence(server.name, wanted or "its tools", error))
        if not wanted:
            return text_result(bounded_text(overview(server), self.spool))
        known = own_name(server, wanted)
        tool = None if known is None else server.tool(known)
        if tool is None:
            return error_result(_no_such_tool(server, wanted))
        return text_result(bounded_text(details(tool), self.spool))


def read_arguments(value: object) -> Mapping[str, object] | None:
    """Models sometimes give the object as text; None when it is no object at all."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def own_name(server: Server, tool: str) -> str | None:
    """Also for a name with the prefix under which a model may have seen it."""
    if server.tool(tool) is not None:
        return tool
    short = tool.removeprefix(server.prefix)
    return short if server.tool(short) is not None else None


async def run_call(
    server: Server, tool: str, arguments: Arguments, call: ToolCall, spool: Keeper
) -> ToolResult:
    """The server's answer, or why there is none."""
    call.activity()
    try:
        answer = await server.call(tool, arguments, call)
    except McpError as error:
        return error_result(in_a_sentence(server.name, tool, error))
    call.activity()
    return translate(answer, spool)


def in_a_sentence(server: str, tool: str, error: McpError) -> str:
    """What happened and what to do next."""
    where = f"MCP server {shown(server)}"
    match error:
        case UnavailableError():
            return (
                f"{where} is not available: {error}. It is tried again by itself; go on without"
                " it, or tell the people in the chat if the task needs it"
            )
        case LostError():
            return f"{where} broke off during {shown(tool)}: {error.reason}"
        case SlowError():
            return (
                f"{shown(tool)} of {where} {error}. It may have had an effect; ask for less at"
                " once, or try again later"
            )
        case RefusedError():
            return f"{shown(tool)} of {where} failed: {error}"
        case _:
            return f"{shown(tool)} of {where} failed"


def shown(name: str) -> str:
    """A stranger's name, fit for a sentence."""
    return cut(" ".join(clean(name).split()), 100) or "(without a name)"


def overview(server: Server) -> str:
    lines = [f"MCP server {shown(server.name)}: {len(server.tools)} tools"]
    lines += [f"- {shown(tool.name)}: {tool.one_line}" for tool in server.tools]
    if server.left_out:
        lines.append(f"({server.left_out:,} more were left out: unusable, or too many)")
    return "\n".join(lines)


def details(tool: ServerTool) -> str:
    return (
        f"{shown(tool.name)}\n\n{tool.full_description}\n\n"
        f"Parameters (JSON Schema): {tool.raw_schema}"
    )


def _no_such_server(arguments: Arguments) -> str:
    return (
        f"there is no MCP server {shown(str(arguments.get('server', '')))};"
        f" the description of {CALL} names them all"
    )


def _no_such_tool(server: Server, tool: str) -> str:
    names = [shown(item.name) for item in server.tools]
    some = ", ".join(names[:_NEARBY]) + (" ..." if len(names) > _NEARBY else "")
    return (
        f"MCP server {shown(server.name)} has no tool {shown(tool)}; it has {some or 'none'}."
        f" {DESCRIBE} shows them"
    )


def declared_tool(name: str, tool: ServerTool, server: Server, spool: Keeper) -> DeclaredTool:
    return DeclaredTool(spec_of(name, tool), server, tool.name, spool)
