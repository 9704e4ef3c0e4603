import asyncio

from helpers.desk_session import DeskSession
from helpers.waiting import wait_until

from contract.inbound.row import AckStatus
from runner.toolbox.base import ToolResult
from runner.tools.nanoclaw.admin import admin_tool


def ask(session: DeskSession, command: str, frame: dict[str, object]) -> ToolResult:
    async def run() -> ToolResult:
        task = asyncio.create_task(session.run("ncl", "toolu_n", command=command))
        await asyncio.to_thread(wait_until, lambda: session.rows, what="the request")
        assert session.desk.awaits(session.last.id)
        session.answer_request(session.last.id, {"id": session.last.id, **frame})
        return await task

    return asyncio.run(run())


def test_command_is_the_same_request_as_that_of_the_shell(session: DeskSession) -> None:
    result = ask(session, "ncl groups config get --limit=5", {"ok": True, "data": "yes"})

    assert result.text == "yes"
    assert session.content() == {
        "action": "cli_request",
        "requestId": session.last.id,
        "command": "groups-config-get",
        "args": {"limit": "5"},
        "positionals": ["groups", "config", "get"],
    }
    assert session.session.status_of(f"cli-resp-{session.last.id}") is AckStatus.COMPLETED
    assert session.state("effect:toolu_n") == "yes"


def test_refusal_is_an_error_with_its_code(session: DeskSession) -> None:
    frame = {"ok": False, "error": {"code": "forbidden", "message": "scoped"}}

    result = ask(session, "users list", frame)

    assert result.is_error
    assert "forbidden" in result.text


def test_host_that_does_not_answer_leaves_an_acknowledgement(session: DeskSession) -> None:
    session.tools["ncl"] = admin_tool(session.desk, seconds=0.0)

    result = session.call("ncl", command="groups list")

    assert "timed out" in result.text
    assert session.session.status_of(f"cli-resp-{session.last.id}") is AckStatus.COMPLETED


def test_words_that_are_no_command_are_told(session: DeskSession) -> None:
    assert "cannot be split" in session.call("ncl", command="groups 'list").text
    assert "only flags" in session.call("ncl", command="--limit 5").text
    assert "usage" in session.call("ncl", command="ncl --help").text
    assert not session.rows
