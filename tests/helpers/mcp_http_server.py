"""MCP over HTTP on the loopback web of ``web_proxy``, with bodies made by hand.

``mcp_page`` answers the protocol of the years before 2026 with plain JSON. What a test wants to go
wrong it gives as ``on_call``, which then writes the whole answer to a tool's call itself.
"""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.web_proxy import Page

Writer = Callable[[BaseHTTPRequestHandler, Any], None]


def mcp_page(on_call: Writer | None = None, seen: list[dict[str, str]] | None = None) -> Page:
    def write(handler: BaseHTTPRequestHandler) -> None:
        if seen is not None:
            seen.append({name.lower(): value for name, value in handler.headers.items()})
        if handler.command != "POST":
            reply(handler, 405, b"", "text/plain")
            return
        message = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        if "id" not in message:
            reply(handler, 202, b"", "text/plain")
        elif message["method"] == "tools/call" and on_call is not None:
            on_call(handler, message["id"])
        else:
            reply(handler, 200, json.dumps(answer_to(message)).encode(), "application/json")

    return Page(write=write)


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    handler.send_response(status)
    handler.send_header("content-type", kind)
    handler.send_header("content-length", str(len(body)))
    handler.send_header("connection", "close")
    handler.end_headers()
    handler.wfile.write(body)


def answer_to(message: dict[str, Any]) -> dict[str, Any]:
    results: dict[str, Any] = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "web", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "ask", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "from the web"}]},
    }
    base = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] not in results:
        return {**base, "error": {"code": -32601, "message": "Method not found"}}
    return {**base, "result": results[message["method"]]}
