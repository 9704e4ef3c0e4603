"""What of the servers' tools is shown to the model, and under which names (R-272, R-274).

Called by ``source``. Pure. Few tools are declared one by one; many, or large ones, are only listed
by name and reached through ``mcp_call``. A tool keeps its name as long as the process lives.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runner.mcp_client.listing import ServerTool, cut
from runner.mcp_client.names import server_prefix, shorten, tool_name
from runner.toolbox.base import ToolSpec

MAX_TOOLS = 60
MAX_SCHEMA_CHARS = 100_000
"""25,000 tokens at four characters each."""

MAX_LISTED_CHARS = 24_000
CALL = "mcp_call"
DESCRIBE = "mcp_describe"

_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Offer:
    """One server with its tools at one moment."""

    server: str
    tools: tuple[ServerTool, ...]


@dataclass
class Names:
    """Both ways between a model's names and (server, tool)."""

    prefixes: dict[str, str]
    _by_tool: dict[tuple[str, str], str] = field(default_factory=dict)
    _by_name: dict[str, tuple[str, str]] = field(default_factory=dict)

    def name(self, server: str, tool: str) -> str:
        known = self._by_tool.get((server, tool))
        if known is None:
            known = tool_name(self.prefixes[server], tool, self._by_name)
            self._by_tool[server, tool] = known
            self._by_name[known] = (server, tool)
        return known

    def original(self, name: str) -> tuple[str, str] | None:
        return self._by_name.get(name)

    def server_of(self, name: str) -> str | None:
        """The server that a name must belong to, even if its tools are not known yet."""
        fitting = [server for server, start in self.prefixes.items() if name.startswith(start)]
        return max(fitting, key=lambda server: len(self.prefixes[server]), default=None)


def name_servers(servers: Iterable[str]) -> Names:
    """Two servers whose names look alike get different prefixes."""
    prefixes: dict[str, str] = {}
    for server in sorted(servers):
        prefix = server_prefix(server)
        number = 1
        while prefix in prefixes.values():
            number += 1
            prefix = server_prefix(f"{shorten(server, 28)}_{number}")
        prefixes[server] = prefix
    return Names(prefixes)


def is_too_much(offers: Sequence[Offer]) -> bool:
    """Whether the tools are only listed instead of declared."""
    tools = [tool for offer in offers for tool in offer.tools]
    return len(tools) > MAX_TOOLS or sum(_size(tool) for tool in tools) > MAX_SCHEMA_CHARS


def _size(tool: ServerTool) -> int:
    return len(tool.description) + len(json.dumps(tool.schema)) + len(tool.name)


def declared(offers: Sequence[Offer], names: Names) -> tuple[ToolSpec, ...]:
    """One spec per tool, servers by name, tools in the server's order."""
    return tuple(
        spec_of(names.name(offer.server, tool.name), tool)
        for offer in sorted(offers, key=lambda offer: offer.server)
        for tool in offer.tools
    )


def spec_of(name: str, tool: ServerTool) -> ToolSpec:
    return ToolSpec(name, tool.description, tool.schema, read_only=tool.read_only)


def call_spec(servers: Iterable[str]) -> ToolSpec:
    """Always the same for the same configuration, so that the prefix stays stable (R-264)."""
    return ToolSpec(
        CALL,
        "Calls a tool of an MCP server by its own name. For tools that are not in your list of"
        " tools: those of a server that came up late, that are new, or that are only listed in"
        f" {DESCRIBE}. Learn a tool's parameters with {DESCRIBE} first."
        f" Servers: {_named(servers)}.",
        {
            "type": "object",
            "properties": {
                "server": {**_TEXT, "description": "Name of the server"},
                "tool": {**_TEXT, "description": "The server's own name of the tool"},
                "arguments": {"type": "object", "description": "The tool's arguments"},
            },
            "required": ["server", "tool"],
        },
    )


def describe_spec(listed: Sequence[Offer] = (), specs: tuple[ToolSpec, ...] = ()) -> ToolSpec:
    """``listed`` are the tools that are not declared one by one, ``specs`` the same."""
    text = (
        "Shows what an MCP server offers: with a tool's name its description and parameters,"
        f" without one all its tools. The tools themselves are called with {CALL}."
    )
    if listed:
        text += f"\n\nTools:\n{_list(listed)}"
    return ToolSpec(
        DESCRIBE,
        text,
        {
            "type": "object",
            "properties": {
                "server": {**_TEXT, "description": "Name of the server"},
                "tool": {**_TEXT, "description": "Name of one tool; leave out for a list of all"},
            },
            "required": ["server"],
        },
        read_only=True,
        listed=specs,
    )


def _list(offers: Sequence[Offer]) -> str:
    """A line per tool; when they are too many, names alone, and at last only how many."""
    ordered = sorted(offers, key=lambda offer: offer.server)
    full = "\n".join(
        f"{offer.server}: {tool.name} - {tool.one_line}"
        for offer in ordered
        for tool in offer.tools
    )
    if len(full) <= MAX_LISTED_CHARS:
        return full
    share = MAX_LISTED_CHARS // max(len(ordered), 1)
    return "\n".join(
        f"{offer.server} ({len(offer.tools)} tools): "
        + cut(", ".join(tool.name for tool in offer.tools), max(share - 100, 100))
        for offer in ordered
    )


def _named(servers: Iterable[str]) -> str:
    return cut(", ".join(sorted(servers)), 2000)
