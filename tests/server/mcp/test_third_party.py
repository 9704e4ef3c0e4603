import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.mcp_scene import Scene, is_alive, scene, until
from helpers.mcp_third_party import git_server, node_server, time_server
from helpers.waiting import wait_until

from contract.config import McpServer
from runner.mcp_client.server import Delays
from runner.toolbox.base import ImagePart, ToolUse
from runner.toolbox.box import ToolSet, ToolSetParts
from runner.tools.spool import Spool

EVERYTHING = "mcp-server-everything"
LONG_OPERATION = "everything__trigger-long-running-operation"
SLOWLY = Delays(first=300, last=300, wait=30)


class NoMark:
    """Shows nobody which tool is at work."""

    async def started(self, tool: str, milliseconds: int | None) -> None: ...

    async def ended(self) -> None: ...

    @property
    def open_questions(self) -> bool:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def everything_at(port: int, mode: str) -> Iterator[subprocess.Popen[bytes]]:
    """The Node server with an address instead of pipes."""
    program = node_server(EVERYTHING)
    assert program.command is not None
    process = subprocess.Popen(
        [program.command, mode],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(port), within=20)
        yield process
    finally:
        process.kill()
        process.wait()


def at(port: int, mode: str) -> McpServer:
    if mode == "sse":
        return McpServer(type="sse", url=f"http://127.0.0.1:{port}/sse")
    return McpServer(type="http", url=f"http://127.0.0.1:{port}/mcp")


async def in_call(act: Scene) -> "asyncio.Task[str]":
    """A call that is certainly under way: the server has told of progress."""
    act.lives.clear()
    call = asyncio.create_task(_text_of_long_call(act))
    await until(lambda: len(act.lives) >= 2, "progress of the call")
    return call


async def _text_of_long_call(act: Scene) -> str:
    return (await act.run(f"mcp__{LONG_OPERATION}", duration=60, steps=300)).text


def test_servers_of_three_kinds_work_side_by_side(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(repository)], check=True)
    servers = {
        "clock": time_server(),
        "everything": node_server(EVERYTHING, "stdio"),
        "files": node_server("mcp-server-filesystem", str(shared)),
        "git": git_server(),
    }

    async def scenario() -> None:
        async with scene(tmp_path, servers) as act:
            specs = {spec.name: spec for spec in await act.servers.specs()}
            assert act.servers.take_notes() == ()
            converted = await act.run(
                "mcp__clock__convert_time",
                source_timezone="UTC",
                time="12:00",
                target_timezone="Asia/Tokyo",
            )
            echoed = await act.run("mcp__everything__echo", message="hällo")
            written = await act.run(
                "mcp__files__write_file", path=str(shared / "a.txt"), content="ünï"
            )
            read = await act.run("mcp__files__read_text_file", path=str(shared / "a.txt"))
            status = await act.run("mcp__git__git_status", repo_path=str(repository))

        assert specs["mcp__files__read_text_file"].read_only
        assert not specs["mcp__files__write_file"].read_only
        assert specs["mcp__clock__convert_time"].input_schema["required"]
        assert "21:00:00+09:00" in converted.text
        assert echoed.text == "Echo: hällo"
        assert not written.is_error
        assert (shared / "a.txt").read_text() == "ünï"
        assert read.text == "ünï"
        assert "On branch trunk" in status.text

    asyncio.run(scenario())


def test_a_toolbox_runs_calls_of_two_servers_side_by_side(tmp_path: Path) -> None:
    servers = {"clock": time_server(), "everything": node_server(EVERYTHING, "stdio")}

    async def scenario() -> None:
        async with scene(tmp_path, servers) as act:
            box = ToolSet(ToolSetParts((), NoMark(), Spool(tmp_path / "kept"), act.servers))
            await box.prepare()
            names = {spec.name for spec in await box.specs()}
            results = await box.run(
                [
                    ToolUse("1", "mcp__clock__get_current_time", {"timezone": "UTC"}),
                    ToolUse("2", "mcp__everything__echo", {"message": "beside"}),
                    ToolUse("3", "mcp__everything__echo", {}),
                ],
                lambda: None,
            )

        assert {"mcp_call", "mcp__clock__convert_time", "mcp__everything__echo"} <= names
        assert [result.is_error for result in results] == [False, False, True]
        assert results[1].text == "Echo: beside"

    asyncio.run(scenario())


def test_content_that_is_no_text_arrives_from_a_real_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"everything": node_server(EVERYTHING, "stdio")}) as act:
            await act.names()
            image = await act.run("mcp__everything__get-tiny-image")
            structured = await act.run(
                "mcp__everything__get-structured-content", location="New York"
            )
            resource = await act.run(
                "mcp__everything__get-resource-reference", resourceType="Text", resourceId=1
            )
            links = await act.run("mcp__everything__get-resource-links", count=2)

        assert [part.media_type for part in image.parts if isinstance(part, ImagePart)] == [
            "image/png"
        ]
        assert "temperature" in structured.text
        assert "[resource demo://resource/dynamic/text/1]\n" in resource.text
        assert "[resource demo://resource/dynamic/" in links.text

    asyncio.run(scenario())


def test_errors_of_real_servers_are_told_in_words(tmp_path: Path) -> None:
    servers = {"clock": time_server(), "everything": node_server(EVERYTHING, "stdio")}

    async def scenario() -> None:
        async with scene(tmp_path, servers) as act:
            await act.names()
            wrong = await act.run("mcp__clock__get_current_time", timezone="Mars/Olympus")
            missing = await act.run("mcp__everything__get-sum", a="one")

        assert wrong.is_error
        assert "Error processing mcp-server-time query" in wrong.text
        assert missing.is_error

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["clock", "everything"])
def test_a_real_server_that_was_killed_is_started_again(tmp_path: Path, name: str) -> None:
    servers = {"clock": time_server(), "everything": node_server(EVERYTHING, "stdio")}
    calls = {
        "clock": ("mcp__clock__get_current_time", {"timezone": "UTC"}),
        "everything": ("mcp__everything__echo", {"message": "again"}),
    }

    async def scenario() -> None:
        async with scene(tmp_path, {name: servers[name]}, delays=SLOWLY) as act:
            await act.names()
            pid = act.pid(name)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_alive(pid))
            tool, arguments = calls[name]
            result = await act.run(tool, **arguments)
            if result.is_error:  # sent before the death was noticed, so its effect is unknown
                assert "it was started again" in result.text
                result = await act.run(tool, **arguments)

            assert not result.is_error
            assert act.pid(name) != pid

    asyncio.run(scenario())


def test_a_real_server_killed_in_mid_call_ends_the_call_and_comes_back(tmp_path: Path) -> None:
    # The tool says of itself that it only reads, so that its call would be repeated: it is killed
    # a second time then, and one repetition is all there is.
    async def scenario() -> None:
        servers = {"everything": node_server(EVERYTHING, "stdio")}
        async with scene(tmp_path, servers, delays=SLOWLY) as act:
            await act.names()
            call = await in_call(act)
            first = act.pid("everything")
            act.lives.clear()
            os.kill(first, signal.SIGKILL)
            await until(lambda: len(act.lives) >= 1, "progress of the second try")
            second = act.pid("everything")
            os.kill(second, signal.SIGKILL)
            text = await call
            after = await act.run("mcp__everything__echo", message="back")

            assert second != first
            assert "MCP server everything broke off" in text
            assert "killed by signal 9" in text
            assert after.text == "Echo: back"

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["streamableHttp", "sse"])
def test_a_real_server_at_an_address(tmp_path: Path, mode: str) -> None:
    port = free_port()

    async def scenario() -> None:
        async with scene(tmp_path, {"everything": at(port, mode)}) as act:
            assert "mcp__everything__echo" in await act.names()
            echoed = await act.run("mcp__everything__echo", message="over HTTP")
            image = await act.run("mcp__everything__get-tiny-image")
            act.lives.clear()
            long = await act.run(f"mcp__{LONG_OPERATION}", duration=0.5, steps=5)

            assert echoed.text == "Echo: over HTTP"
            assert any(isinstance(part, ImagePart) for part in image.parts)
            assert "completed" in long.text
            assert len(act.lives) > 2

    with everything_at(port, mode):
        asyncio.run(scenario())


def test_a_real_server_at_an_address_that_dies_and_comes_back(tmp_path: Path) -> None:
    port = free_port()

    async def scenario() -> None:
        async with scene(tmp_path, {"everything": at(port, "streamableHttp")}) as act:
            with everything_at(port, "streamableHttp"):
                await act.names()
                call = await in_call(act)
            text = await call
            gone = await act.run("mcp__everything__echo", message="nobody")
            [note] = act.servers.take_notes()
            with everything_at(port, "streamableHttp"):
                back = await act.run("mcp__everything__echo", message="back")

            assert text.startswith("Error: MCP server everything")
            assert gone.is_error
            assert "is not available" in note
            assert back.text == "Echo: back"

    asyncio.run(scenario())


def test_a_session_that_a_restarted_server_has_forgotten_is_opened_anew(tmp_path: Path) -> None:
    port = free_port()

    async def scenario() -> None:
        async with scene(tmp_path, {"everything": at(port, "streamableHttp")}) as act:
            with everything_at(port, "streamableHttp"):
                await act.names()
            with everything_at(port, "streamableHttp"):
                result = await act.run("mcp__everything__echo", message="new session")

            assert result.text == "Echo: new session"

    asyncio.run(scenario())
