import asyncio
import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from helpers.mcp_http_server import mcp_page, reply
from helpers.mcp_scene import scene
from helpers.web_proxy import Page, Web

from contract.config import McpServer
from runner.mcp_client.server import Delays
from runner.toolbox.base import ToolResult

NEVER_AGAIN = Delays(first=300, last=300, wait=20)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


def asked(web: Web, folder: Path, server: McpServer | None = None) -> tuple[ToolResult, ToolResult]:
    """Two calls, to see whether the second works after whatever the first met."""
    found = server or McpServer(type="http", url="http://tools.example.org/mcp")

    async def scenario() -> tuple[ToolResult, ToolResult]:
        environment = web.environment
        async with scene(folder, {"fake": found}, environment=environment) as act:
            assert "mcp__fake__ask" in await act.names()
            return await act.call("ask"), await act.call("ask")

    return asyncio.run(scenario())


def unavailable(web: Web, folder: Path, server: McpServer) -> str:
    async def scenario() -> str:
        servers = {"fake": server}
        environment = web.environment
        async with scene(folder, servers, environment=environment, delays=NEVER_AGAIN) as act:
            assert await act.names() == ["mcp_call", "mcp_describe"]
            [note] = act.servers.take_notes()
            return note

    return asyncio.run(scenario())


def once(first: Any) -> Any:
    """The first call meets ``first``, later ones a good answer."""
    left = [first]

    def write(handler: BaseHTTPRequestHandler, number: int) -> None:
        if left:
            left.pop()(handler, number)
        else:
            good(handler, number)

    return write


def good(handler: BaseHTTPRequestHandler, number: int) -> None:
    body = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"ok"}]}}' % number
    reply(handler, 200, body, "application/json")


def test_a_server_behind_the_proxy_gets_its_configured_headers(web: Web, tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    web.pages["/mcp"] = mcp_page(seen=seen)
    server = McpServer(
        type="http", url="http://tools.example.org/mcp", headers={"Authorization": "Bearer t0ken"}
    )

    first, _ = asked(web, tmp_path, server)

    assert first.text == "from the web"
    assert set(web.proxied) == {"POST tools.example.org"}
    assert {headers.get("authorization") for headers in seen} == {"Bearer t0ken"}
    assert {headers.get("accept-encoding") for headers in seen} == {"identity"}


def test_a_server_on_this_machine_is_reached_directly(web: Web, tmp_path: Path) -> None:
    web.pages["/mcp"] = mcp_page()

    first, _ = asked(web, tmp_path, McpServer(url=f"http://127.0.0.1:{web.port}/mcp"))

    assert first.text == "from the web"
    assert web.proxied == []


def test_an_answer_that_is_too_long_is_cut_off(web: Web, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x" * 1_000_000)

    web.pages["/mcp"] = mcp_page(once(endless))

    first, second = asked(web, tmp_path)

    assert "longer than 16 MB" in first.text
    assert second.text == "ok"


def test_a_stream_of_noise_is_cut_off(web: Web, tmp_path: Path) -> None:
    event = (
        b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/message",'
        b'"params":{"level":"info","data":"noise"}}\n\n'
    )

    def noise(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        while not web.stopping.is_set():
            handler.wfile.write(event * 1000)

    web.pages["/mcp"] = mcp_page(once(noise))

    first, second = asked(web, tmp_path)

    assert first.is_error
    assert "floods the connection" in first.text
    assert second.text == "ok"


def test_a_line_without_end_in_a_stream_is_cut_off(web: Web, tmp_path: Path) -> None:
    def line(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b"data: ")
        while not web.stopping.is_set():
            handler.wfile.write(b"x" * 1_000_000)

    web.pages["/mcp"] = mcp_page(once(line))

    first, second = asked(web, tmp_path)

    assert first.is_error
    assert second.text == "ok"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"jsonrpc":"2.0"', b"[1,2]", b'{"id":1}', b"\xff\xfe"]
)
def test_an_answer_that_is_no_message_is_an_error(web: Web, tmp_path: Path, body: bytes) -> None:
    web.pages["/mcp"] = mcp_page(
        once(lambda handler, number: reply(handler, 200, body, "application/json"))
    )

    first, second = asked(web, tmp_path)

    assert first.is_error
    assert second.text == "ok"


def test_a_compressed_answer_is_refused(web: Web, tmp_path: Path) -> None:
    def packed(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(gzip.compress(b" " * 100_000_000))

    web.pages["/mcp"] = mcp_page(once(packed))

    first, second = asked(web, tmp_path)

    assert "compresses its answer" in first.text
    assert second.text == "ok"


def test_a_connection_that_breaks_in_mid_answer_is_told(web: Web, tmp_path: Path) -> None:
    def half(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        handler.wfile.write(b"content-length: 100\r\n\r\n{")

    web.pages["/mcp"] = mcp_page(once(half))

    first, second = asked(web, tmp_path)

    assert first.is_error
    assert "look before you repeat it" in first.text
    assert second.text == "ok"


@pytest.mark.parametrize(("status", "words"), [(401, "HTTP 401"), (500, "HTTP 500")])
def test_a_refusal_names_its_status(web: Web, tmp_path: Path, status: int, words: str) -> None:
    web.page("/mcp", "no", status=status, content_type="text/plain")

    note = unavailable(web, tmp_path, McpServer(url="http://tools.example.org/mcp"))

    assert words in note


def test_a_refusal_of_the_gateway_is_told(web: Web, tmp_path: Path) -> None:
    web.refused.add("tools.example.org")

    note = unavailable(web, tmp_path, McpServer(url="https://tools.example.org/mcp"))

    assert "cannot be reached" in note
    assert "403" in note


def test_secrets_are_never_sent_after_a_redirect_to_another_place(web: Web, tmp_path: Path) -> None:
    web.page("/mcp", status=307, location="http://evil.example.com/mcp")
    server = McpServer(url="http://tools.example.org/mcp", headers={"Authorization": "Bearer x"})

    note = unavailable(web, tmp_path, server)

    assert "not available" in note
    assert not any("evil" in line for line in web.proxied)


def test_an_event_stream_of_the_old_kind_that_never_begins_is_given_up(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.mcp_client import connection

    monkeypatch.setattr(connection, "START_SECONDS", 0.5)

    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        web.stopping.wait(20)

    web.pages["/sse"] = Page(write=silent)

    note = unavailable(web, tmp_path, McpServer(type="sse", url="http://tools.example.org/sse"))

    assert "did not answer in time" in note


def test_nobody_at_the_address_is_told_in_words(web: Web, tmp_path: Path) -> None:
    note = unavailable(web, tmp_path, McpServer(url="http://127.0.0.1:9/mcp"))

    assert "it cannot be reached" in note
