import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from helpers.desk_session import FAMILY, DeskSession
from helpers.runner_process import PROJECT
from helpers.waiting import wait_until
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from contract.inbound.row import AckStatus
from runner.desk.questions import QUESTIONS_KEY, parse_questions


def with_server(session: DeskSession, use: Callable[[Client], Awaitable[None]]) -> None:
    """A real server process behind the library's own client."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "runner.mcp_server"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            **session.paths.to_environment(),
        },
    )

    async def run() -> None:
        async with asyncio.timeout(60), Client(stdio_client(parameters)) as client:
            await use(client)

    asyncio.run(run())


def words(result: Any) -> str:
    return "".join(part.text for part in result.content)


def test_server_offers_the_tools_under_their_plain_names(session: DeskSession) -> None:
    names: list[str] = []
    facts: list[object] = []

    async def use(client: Client) -> None:
        names.extend(tool.name for tool in (await client.list_tools()).tools)
        assert client.server_info is not None
        facts.extend((client.server_info.name, client.server_info.version))
        facts.append(client.server_capabilities.resources)
        facts.append(client.server_capabilities.prompts)

    with_server(session, use)

    assert names == list(session.tools)
    assert facts == ["nanoclaw", "2.0.0", None, None]


def test_send_message_through_the_server_sets_in_reply_to(session: DeskSession) -> None:
    row = session.receive("hello", FAMILY.address)
    session.begin(row)
    texts: list[str] = []

    async def use(client: Client) -> None:
        texts.append(words(await client.call_tool("send_message", {"text": "hi"})))

    with_server(session, use)

    assert texts == [f"Message sent to the current conversation (id: {session.last.seq})."]
    assert session.last.in_reply_to == row.id
    assert session.last.address == FAMILY.address


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("send_message", {}, "Error: 'text' is required and must be a text that is not empty"),
        ("send_message", {"text": 5}, "Error: 'text' must be a text"),
        ("nothing", {}, "Error: there is no tool named 'nothing'"),
    ],
)
def test_what_goes_wrong_is_a_result_with_its_flag(
    session: DeskSession, tool: str, arguments: dict[str, object], text: str
) -> None:
    results: list[Any] = []

    async def use(client: Client) -> None:
        results.append(await client.call_tool(tool, arguments))

    with_server(session, use)

    assert results[0].is_error
    assert words(results[0]) == text
    assert not session.rows


def test_server_of_a_replaced_container_writes_nothing(session: DeskSession) -> None:
    results: list[Any] = []

    async def use(client: Client) -> None:
        session.session.renew_lease()
        results.append(await client.call_tool("send_message", {"text": "hi"}))

    with_server(session, use)

    assert results[0].is_error
    assert "replaced" in words(results[0])
    assert not session.rows


def test_damaged_file_does_not_end_the_server(session: DeskSession) -> None:
    results: list[Any] = []

    async def use(client: Client) -> None:
        good = session.paths.outbound_db.read_bytes()
        session.paths.outbound_db.write_bytes(b"no database at all, only bytes" * 200)
        results.append(await client.call_tool("send_message", {"text": "hi"}))
        session.paths.outbound_db.write_bytes(good)
        results.append(await client.call_tool("send_message", {"text": "hi"}))

    with_server(session, use)

    assert [result.is_error for result in results] == [True, False]


def test_question_through_the_server_is_answered_and_marked_as_waiting_elsewhere(
    session: DeskSession,
) -> None:
    texts: list[str] = []
    elsewhere: list[bool] = []
    ask = {"title": "Deploy", "question": "Go live?", "options": ["Yes", "No"]}

    async def use(client: Client) -> None:
        task = asyncio.create_task(client.call_tool("ask_user_question", ask))
        await asyncio.to_thread(wait_until, lambda: session.rows, what="the card")
        [question] = parse_questions(session.state(QUESTIONS_KEY))
        elsewhere.append(question.elsewhere)
        session.answer_question(question.id, "Yes")
        texts.append(words(await task))

    with_server(session, use)

    assert elsewhere == [True]
    assert texts == ["Yes\n(answered by telegram:1)"]
    assert session.session.status_of(f"qr-{session.last.id}") is AckStatus.COMPLETED
