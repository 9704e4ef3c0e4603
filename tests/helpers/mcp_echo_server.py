"""A small MCP server on the real SDK, for agents in tests."""

import anyio
from mcp.server.mcpserver import MCPServer

server = MCPServer("echo")


@server.tool()
def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()


if __name__ == "__main__":
    anyio.run(server.run_stdio_async)
