import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Literal

import pytest
from helpers.mcp_scene import is_alive, numbers, scene, scripted, until
from helpers.waiting import wait_until

from contract.config import McpServer
from runner.mcp_client.server import Delays
from runner.toolbox.base import ImagePart

ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


@ERAS
def test_tools_of_either_protocol_are_declared_and_called(tmp_path: Path, era: str) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted(era)}) as act:
            names = await act.names()
            result = await act.call("echo", text="hällo")

        assert names[:3] == ["mcp_call", "mcp_describe", "mcp__fake__echo"]
        assert result.text == "hällo"

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_older_server_answers_in_both_modes(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}, mode=mode) as act:
            assert "mcp__fake__echo" in await act.names()
            assert (await act.call("echo", text="hi")).text == "hi"

    asyncio.run(scenario())


def test_a_server_that_ignores_the_new_question_is_asked_in_the_old_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp.client.session.DISCOVER_TIMEOUT_SECONDS", 0.2)

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("ignores-discover")}) as act:
            await act.names()
            assert (await act.call("echo", text="hi")).text == "hi"

    asyncio.run(scenario())


@ERAS
def test_every_kind_of_content_arrives(tmp_path: Path, era: str) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted(era)}) as act:
            await act.names()
            mixed = await act.call("mixed")
            structured = await act.call("structured")

        assert mixed.text.startswith("first\n")
        assert mixed.text.endswith("last")
        assert "[resource file:///a.txt]\ninside" in mixed.text
        assert sum(isinstance(part, ImagePart) for part in mixed.parts) == 1
        assert json.loads(structured.text) == {"answer": 42}

    asyncio.run(scenario())


def test_errors_of_a_tool_and_of_the_protocol_are_error_results(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            failed = await act.call("fail")
            refused = await act.call("refuse")
            malformed = await act.call("malformed")

        assert (failed.text, failed.is_error) == ("the disk is full", True)
        assert refused.text == "Error: refuse of MCP server fake failed: bad arguments here"
        assert "does not follow the protocol" in malformed.text
        assert malformed.is_error

    asyncio.run(scenario())


def test_progress_is_a_sign_of_life(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            result = await act.call("slow", steps=5)

        assert result.text == "done"
        assert len(act.lives) >= 4

    asyncio.run(scenario())


def test_a_long_result_is_cut_and_kept_in_the_spool(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            result = await act.call("long", size=100_000)

        assert len(result.text) < 61_000
        assert (tmp_path / "spool" / "1.txt").stat().st_size == 100_000

    asyncio.run(scenario())


def test_the_environment_is_passed_without_secrets(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "TZ": "Europe/Berlin",
        "OVERRIDDEN": "process",
        "ANTHROPIC_API_KEY": "secret",
        "ANTHROPIC_AUTH_TOKEN": "secret",
        "CLAUDE_CODE_OAUTH_TOKEN": "secret",
    }
    names = [name for name in environment if name not in os.environ] + ["OWN"]
    server = scripted(OWN="own", OVERRIDDEN="server")

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": server}, environment=environment) as act:
            await act.names()
            seen = json.loads((await act.call("environment", names=names)).text)

        assert {name: value for name, value in seen.items() if value is not None} == {
            name: value
            for name, value in {
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "TZ": "Europe/Berlin",
                "OVERRIDDEN": "server",
                "OWN": "own",
            }.items()
            if name in names
        }

    asyncio.run(scenario())


def test_a_new_tool_is_told_and_reached_through_the_general_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            assert act.servers.take_notes() == ()
            await act.call("grow", name="fresh")
            server = act.servers.server("fake")
            assert server is not None
            await until(lambda: server.tool("fresh"), "the new tool")

            [note] = act.servers.take_notes()
            result = await act.run("mcp_call", server="fake", tool="fresh", arguments={"a": 1})

            assert "have changed" in note
            assert "fresh" in note
            assert act.servers.take_notes() == ()
            assert result.text == 'called fresh with {"a": 1}'

    asyncio.run(scenario())


def test_a_newer_server_tells_of_changes_to_who_listens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("modern")}) as act:
            await act.names()
            await act.call("grow", name="fresh")
            server = act.servers.server("fake")
            assert server is not None
            await until(lambda: server.tool("fresh"), "the new tool")

            assert "fresh" in act.servers.take_notes()[0]

    asyncio.run(scenario())


def test_a_tool_is_described(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            overview = await act.run("mcp_describe", server="fake")
            one = await act.run("mcp_describe", server="fake", tool="long")
            prefixed = await act.run("mcp_describe", server="fake", tool="mcp__fake__long")
            unknown = await act.run("mcp_describe", server="fake", tool="none")
            nowhere = await act.run("mcp_describe", server="no\x00where")

        assert "- long: Many characters." in overview.text
        assert '"size":{"type":"integer"}' in one.text
        assert prefixed == one
        assert "has no tool none" in unknown.text
        assert "there is no MCP server nowhere" in nowhere.text

    asyncio.run(scenario())


def test_the_general_tool_forgives_arguments_as_text(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            text = await act.run("mcp_call", server="fake", tool="echo", arguments='{"text": "x"}')
            wrong = await act.run("mcp_call", server="fake", tool="echo", arguments=[1])
            none = await act.run("mcp_call", server="fake", tool="none")
            nowhere = await act.run("mcp_call", server="else", tool="echo")

        assert text.text == "x"
        assert "must be an object" in wrong.text
        assert "it has echo, note" in none.text
        assert "there is no MCP server else" in nowhere.text

    asyncio.run(scenario())


def test_many_tools_are_listed_instead_of_declared(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("seventy-tools")}) as act:
            call, describe = await act.servers.specs()
            result = await act.run("mcp_call", server="fake", tool="tool_3")

        assert (call.name, describe.name) == ("mcp_call", "mcp_describe")
        assert "fake: tool_3 - Does thing 3." in describe.description
        assert result.text == "called tool_3 with {}"

    asyncio.run(scenario())


def test_a_server_that_died_is_started_again_by_the_next_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        slow = Delays(first=300, last=300, settled=300)
        async with scene(tmp_path, {"fake": scripted()}, delays=slow) as act:
            await act.names()
            first = act.pid()
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: not is_alive(first))  # blocks the loop: nobody has noticed yet
            result = await act.call("pid")

            assert result.text == str(act.pid())

    asyncio.run(scenario())


def test_a_call_that_kills_the_server_is_not_repeated(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted(CALLS_FILE=str(calls))}) as act:
            await act.names()
            died = await act.call("die")
            after = await act.call("echo", text="still here")

        assert died.is_error
        assert "ended with status 3 (something went very wrong)" in died.text
        assert "look before you repeat it" in died.text
        assert after.text == "still here"
        assert calls.read_text().split() == ["die", "echo"]

    asyncio.run(scenario())


def test_a_harmless_call_is_repeated_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted(CALLS_FILE=str(calls))}) as act:
            await act.names()
            result = await act.call("die_safely")

        assert result.text == "the second time it worked"

    asyncio.run(scenario())


def test_a_server_that_died_between_calls_comes_back_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            first = act.pid()
            os.kill(first, signal.SIGKILL)
            server = act.servers.server("fake")
            assert server is not None
            await until(lambda: server.is_up and server.pid != first, "the new process")

            assert (await act.call("echo", text="back")).text == "back"

    asyncio.run(scenario())


def test_a_broken_server_costs_only_its_own_tools(tmp_path: Path) -> None:
    servers = {"broken": scripted("die-at-start"), "fake": scripted()}

    async def scenario() -> None:
        async with scene(tmp_path, servers, delays=Delays(first=300)) as act:
            names = await act.names()
            notes = act.servers.take_notes()
            again = act.servers.take_notes()
            call = await act.run("mcp__broken__anything")

        assert "mcp__fake__echo" in names
        assert not any("broken" in name for name in names)
        assert len(notes) == 1
        assert "MCP server broken is not available" in notes[0]
        assert "ModuleNotFoundError" in notes[0]
        assert again == ()
        assert "is not available" in call.text

    asyncio.run(scenario())


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        servers = {"fake": McpServer(command="no-such-program")}
        async with scene(tmp_path, servers) as act:
            assert await act.names() == ["mcp_call", "mcp_describe"]
            [note] = act.servers.take_notes()

        assert "no-such-program was not found" in note

    asyncio.run(scenario())


def test_a_server_that_fails_first_is_tried_again_and_told(tmp_path: Path) -> None:
    server = scripted("die-first-time", FLAG_FILE=str(tmp_path / "flag"))

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": server}, delays=Delays(first=0.3)) as act:
            await act.names()
            first = act.servers.take_notes()
            found = act.servers.server("fake")
            assert found is not None
            await until(lambda: found.is_up, "the second start")
            [second] = act.servers.take_notes()
            result = await act.run("mcp_call", server="fake", tool="echo", arguments={"text": "x"})

        assert "is not available" in first[0]
        assert "is available now. New tools, to be called with mcp_call: " in second
        assert result.text == "x"

    asyncio.run(scenario())


def test_a_late_server_is_not_waited_for_and_told_when_it_comes(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    server = scripted("wait-for-file", FLAG_FILE=str(flag))

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": server}, first_wait=0.05) as act:
            assert await act.names() == ["mcp_call", "mcp_describe"]
            [late] = act.servers.take_notes()
            flag.touch()
            found = act.servers.server("fake")
            assert found is not None
            await until(lambda: found.is_up, "the late server")
            [here] = act.servers.take_notes()
            direct = await act.call("echo", text="direct")

        assert "it is still starting" in late
        assert "is available now" in here
        assert direct.text == "direct"

    asyncio.run(scenario())


def test_a_call_by_a_name_from_an_earlier_process_waits_for_its_server(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    server = scripted("wait-for-file", FLAG_FILE=str(flag))

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": server}) as act:
            act.servers.prepare()
            calling = asyncio.create_task(act.call("echo", text="patient"))
            unknown = asyncio.create_task(act.call("never_was"))
            flag.touch()

            assert (await calling).text == "patient"
            assert "has no tool" in (await unknown).text

    asyncio.run(scenario())


def test_names_that_are_ours_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"nanoclaw": scripted()}) as act:
            assert await act.names() == []
            assert act.servers.find("mcp__nanoclaw__send_message") is None
            assert act.servers.find("mcp_call") is None

    asyncio.run(scenario())


def test_colliding_names_reach_the_right_server(tmp_path: Path) -> None:
    servers = {"a.b": scripted(WHO="first"), "a_b": scripted(WHO="second")}

    async def scenario() -> None:
        async with scene(tmp_path, servers) as act:
            names = [name for name in await act.names() if name.endswith("__environment")]
            seen = [(await act.run(name, names=["WHO"])).text for name in names]

        assert seen == ['{"WHO": "first"}', '{"WHO": "second"}']

    asyncio.run(scenario())


@pytest.mark.parametrize("behaviour", ["friendly", "stays"])
def test_closing_leaves_no_process(tmp_path: Path, behaviour: str) -> None:
    async def scenario() -> list[int]:
        servers = {"fake": scripted(behaviour), "other": scripted(behaviour)}
        async with scene(tmp_path, servers) as act:
            await act.names()
            children = numbers(await act.call("spawn"))
            pids = [act.pid(), act.pid("other"), *children]
            assert all(is_alive(pid) for pid in pids)
            return pids

    pids = asyncio.run(scenario())

    wait_until(lambda: not any(is_alive(pid) for pid in pids), what="no process is left")


def test_children_of_a_server_that_died_do_not_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            first = act.pid()
            children = numbers(await act.call("spawn"))
            os.kill(first, signal.SIGKILL)
            await act.call("echo", text="again")
            await until(lambda: not any(is_alive(pid) for pid in children), "their end")

    asyncio.run(scenario())


def test_closing_in_mid_call_ends_the_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            calling = asyncio.create_task(act.call("hang"))
            await until(lambda: act.lives, "the start of the call")
            await act.servers.close()
            async with asyncio.timeout(5):
                assert (await calling).is_error

    asyncio.run(scenario())


def test_a_cancelled_call_leaves_the_server_usable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            calling = asyncio.create_task(act.call("hang"))
            await until(lambda: act.lives, "the start of the call")
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling

            assert (await act.call("echo", text="on")).text == "on"

    asyncio.run(scenario())
