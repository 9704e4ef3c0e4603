import asyncio
import logging
import resource
from pathlib import Path

import pytest
from helpers.mcp_scene import is_alive, scene, scripted, until

from runner.mcp_client import connection, stdio
from runner.mcp_client.listing import MAX_TOOLS
from runner.mcp_client.server import Delays

NEVER_AGAIN = Delays(first=300, last=300, wait=20)


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, shorter; what is tested is that each of them ends."""
    monkeypatch.setattr(connection, "START_SECONDS", 2.5)
    monkeypatch.setattr(connection, "PROOF_SECONDS", 0.5)
    monkeypatch.setattr(stdio, "WRITE_SECONDS", 0.5)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("endless-line", "longer than 16 MB"),
        ("garbage", "floods the connection"),
        ("hang-initialize", "did not answer in time"),
        ("hang-list", "did not answer in time"),
        ("deaf", "did not answer in time"),
        ("closes-output", "closed its output"),
        ("die-at-start", "ended with status 1 (ModuleNotFoundError"),
    ],
)
@pytest.mark.usefixtures("short_limits")
def test_a_server_that_never_gets_ready_is_told_and_gone(
    tmp_path: Path, behaviour: str, reason: str
) -> None:
    servers = {"bad": scripted(behaviour), "fake": scripted()}

    async def scenario() -> None:
        async with scene(tmp_path, servers, delays=NEVER_AGAIN) as act:
            names = await act.names()
            [note] = act.servers.take_notes()
            works = await act.call("echo", text="unharmed")
            refused = await act.run("mcp_call", server="fake", tool="echo", arguments={})

        assert "mcp__fake__echo" in names
        assert "MCP server bad is not available" in note
        assert reason in note or "its program" in note  # whichever end was noticed first
        assert works.text == "unharmed"
        assert not refused.is_error

    asyncio.run(scenario())


@pytest.mark.usefixtures("short_limits")
def test_an_answer_of_half_a_gigabyte_is_cut_off_with_bounded_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()
            before = peak_memory_mb()
            result = await act.call("huge", megabytes=500)

            assert result.is_error
            assert "longer than 16 MB" in result.text
            assert peak_memory_mb() - before < 100
            assert (await act.call("echo", text="on")).text == "on"

    asyncio.run(scenario())


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_flood_of_notifications_ends_the_call_and_not_the_agent(tmp_path: Path, era: str) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted(era)}) as act:
            await act.names()
            result = await act.call("flood")

            assert result.is_error
            assert "floods the connection" in result.text
            assert (await act.call("echo", text="on")).text == "on"

    asyncio.run(scenario())


def test_noise_before_an_answer_does_not_cost_the_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("chatter")}) as act:
            await act.names()

            assert (await act.call("unasked", count=3000)).text == "after the noise"

    asyncio.run(scenario())


def test_half_a_character_does_not_cost_the_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()

            assert (await act.call("half")).text == "half  of it"

    asyncio.run(scenario())


def test_requests_of_a_server_are_declined_and_the_call_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}) as act:
            await act.names()

            assert (await act.call("ask")).text == "asked"

    asyncio.run(scenario())


def test_a_call_that_never_ends_reaches_its_limit_and_the_server_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}, timeouts={"fake": 0.2}) as act:
            await act.names()
            pid = act.pid()
            result = await act.call("hang")

            assert result.is_error
            assert "hang of MCP server fake did not finish within 0.2 s" in result.text
            assert act.pid() == pid

    asyncio.run(scenario())


@pytest.mark.usefixtures("short_limits")
def test_a_server_that_froze_in_a_call_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}, timeouts={"fake": 0.2}) as act:
            await act.names()
            pid = act.pid()
            result = await act.call("freeze")
            again = await act.call("echo", text="new")

            assert "did not finish within 0.2 s" in result.text
            assert again.text == "new"
            assert act.pid() != pid
            await until(lambda: not is_alive(pid), "the end of the frozen one")

    asyncio.run(scenario())


@pytest.mark.usefixtures("short_limits")
def test_a_server_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted()}, timeouts={"fake": 3}) as act:
            await act.names()
            frozen = asyncio.create_task(act.call("freeze"))
            await until(lambda: act.lives, "the frozen call")
            result = await act.call("note", text="x" * 1_000_000)

            assert result.is_error
            assert "does not read its input" in result.text
            assert (await frozen).is_error

    asyncio.run(scenario())


def test_a_hundred_thousand_tools_are_cut_to_a_number_that_can_be_listed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("many-tools")}) as act:
            specs = await act.servers.specs()
            overview = await act.run("mcp_describe", server="fake")
            result = await act.run("mcp_call", server="fake", tool="tool_499")
            beyond = await act.run("mcp_call", server="fake", tool="tool_500")

        assert len(specs) == 2
        assert sum(len(spec.description) for spec in specs) < 30_000
        assert f"{MAX_TOOLS} tools" in overview.text
        assert "(99,500 more were left out: unusable, or too many)" in overview.text
        assert result.text == "called tool_499 with {}"
        assert "has no tool tool_500" in beyond.text

    asyncio.run(scenario())


def test_pages_without_end_are_read_up_to_a_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("endless-pages")}) as act:
            assert len(await act.names()) == 2 + connection.MAX_PAGES

    asyncio.run(scenario())


def test_broken_tools_are_left_out_or_made_harmless(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("broken-schemas")}) as act:
            specs = {spec.name: spec for spec in await act.servers.specs()}
            strange = await act.run("mcp__fake__con_trol__31m_name")

        schemas = {name.removeprefix("mcp__fake__"): specs[name].input_schema for name in specs}
        anything = {"type": "object", "additionalProperties": True}
        for name in ("array_schema", "bad_type", "alternatives", "odd_names", "remote", "dangling"):
            assert schemas[name] == anything, name
        assert schemas["deep"] == schemas["huge"] == anything
        assert schemas["good"] == {"type": "object", "properties": {"a": {"type": "string"}}}
        assert schemas["expression"] == schemas["good"]
        assert schemas["recursive"] == {
            "type": "object",
            "properties": {"child": {"$ref": "#"}},
        }
        assert all(len(spec.description) <= 4000 for spec in specs.values())
        assert specs["mcp__fake__con_trol__31m_name"].description == "Description"
        assert strange.text.startswith("called con")
        assert not any("nnnn" in name for name in specs)

    asyncio.run(scenario())


def test_a_flood_on_standard_error_is_bounded_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with scene(tmp_path, {"fake": scripted("stderr-flood")}) as act:
            await act.names()
            for _ in range(20):
                assert (await act.call("echo", text="on")).text == "on"
            await until(lambda: "lines are left out" in caplog.text, "the end of its lines")

    asyncio.run(scenario())
    lines = [record for record in caplog.records if record.name == "runner.mcp.fake"]

    assert len(lines) < 250  # two windows at most
    assert all(len(record.getMessage()) < 1100 for record in lines)


@pytest.mark.usefixtures("short_limits")
def test_closing_does_not_wait_for_hostile_servers(tmp_path: Path) -> None:
    servers = {
        f"s{number}": scripted(behaviour, "stays")
        for number, behaviour in enumerate(
            ["hang-initialize", "deaf", "garbage", "endless-line", "stderr-flood", "friendly"] * 2
        )
    }

    async def scenario() -> None:
        async with scene(tmp_path, servers, first_wait=0.5) as act:
            await act.names()
            pids = [
                server.pid
                for name in servers
                if (server := act.servers.server(name)) is not None and server.pid is not None
            ]
            async with asyncio.timeout(5):
                await act.servers.close()
        assert pids
        assert not [pid for pid in pids if is_alive(pid)]

    asyncio.run(scenario())
