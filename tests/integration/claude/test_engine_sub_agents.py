"""What a sub-agent takes for itself, shows to the host, and gives back."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from helpers.claude_engine_bench import Bench
from helpers.claude_engine_tools import FakeToolbox, echo
from helpers.messages_api.answers import answer, to, use
from helpers.messages_api.server import MessagesApi

from runner.errors import FencedOffError
from runner.providers.claude.subagent import MAX_SECONDS
from runner.toolbox.base import ToolResult

AT_WORK = [f"task {MAX_SECONDS}", "closed", "-"]


def test_the_host_sees_a_sub_agent_for_as_long_as_it_works(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Delegate") as stream:
            await stream.result()

    with MessagesApi() as api:
        bench = Bench(tmp_path, api.url, toolbox=FakeToolbox({"echo": echo}))
        task = use("task", description="look", prompt="look it up")
        api.script(answer(task), answer(use("echo")), answer("report"), to("family", "done"))
        asyncio.run(play(bench))

    assert bench.toolbox.marks == AT_WORK


def test_an_interrupted_sub_agent_gives_its_tools_back(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hang(arguments: Mapping[str, object]) -> ToolResult:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def play(bench: Bench) -> None:
        async with bench.stream("Delegate") as stream:
            await begun.wait()
            stream.query.interrupt()
            await stream.result()

    with MessagesApi() as api:
        bench = Bench(tmp_path, api.url, toolbox=FakeToolbox({"hang": hang}))
        task = use("task", description="look", prompt="look it up")
        api.script(answer(task), answer(use("hang")), to("family", "done"))
        asyncio.run(play(bench))

    assert bench.toolbox.marks == AT_WORK


def test_an_error_that_ends_the_process_passes_through_a_sub_agent(tmp_path: Path) -> None:
    async def fenced(arguments: Mapping[str, object]) -> ToolResult:
        raise FencedOffError

    async def play(bench: Bench) -> BaseException | None:
        async with bench.stream("Delegate") as stream:
            await stream.ended()
            return stream.error

    with MessagesApi() as api:
        bench = Bench(tmp_path, api.url, toolbox=FakeToolbox({"fenced": fenced}))
        tasks = [use("task", description="look", prompt=f"look {number}") for number in range(2)]
        api.script(answer(*tasks), answer(use("fenced")), answer(use("fenced")))
        error = asyncio.run(play(bench))

    assert isinstance(error, FencedOffError)
