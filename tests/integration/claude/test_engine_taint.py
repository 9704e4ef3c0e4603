"""What tools bring into a turn marks its texts, also after a kill, and no other turn's."""

import asyncio
from pathlib import Path

from helpers.claude_engine_bench import Bench, prompt
from helpers.claude_engine_tools import FakeToolbox, echo
from helpers.messages_api.answers import answer, say, search, to, use
from helpers.messages_api.server import MessagesApi

from runner.providers.base import Prompt, Said

WEB = frozenset({"web"})
MCP = frozenset({"mcp"})
TOOLS = {"echo": echo, "web_fetch": echo, "mcp__rss__read": echo, "mcp__nanoclaw__list": echo}


def bench(folder: Path, api: MessagesApi) -> Bench:
    return Bench(folder, api.url, toolbox=FakeToolbox(dict(TOOLS)))


def test_foreign_tools_mark_the_answers_that_follow_and_the_next_turn_begins_clean(
    tmp_path: Path,
) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Read it") as stream:
            first = await stream.result()
            stream.query.push(prompt("Thanks"))
            second = await stream.result(2)
            said = [event.taint for event in stream.events if isinstance(event, Said)]
        assert said == [frozenset(), WEB]
        assert (first.taint, second.taint) == (WEB | MCP, frozenset())

    with MessagesApi() as api:
        begun = say('<message to="family">begun</message>')
        read = say('<message to="family">read</message>')
        api.script(
            answer(begun, use("web_fetch")),
            answer(read, use("mcp__rss__read")),
            to("family", "done"),
            to("family", "welcome"),
        )
        asyncio.run(play(bench(tmp_path, api)))


def test_tools_of_our_own_leave_no_mark(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Do it") as stream:
            assert (await stream.result()).taint == frozenset()

    with MessagesApi() as api:
        api.script(answer(use("echo"), use("mcp__nanoclaw__list")), to("family", "done"))
        asyncio.run(play(bench(tmp_path, api)))


def test_search_of_the_server_is_the_web_too(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Search") as stream:
            assert (await stream.result()).taint == WEB

    with MessagesApi() as api:
        found = say('<message to="family">found</message>')
        api.script(answer(*search("tea", ("Tea", "https://tea.example")), found))
        asyncio.run(play(bench(tmp_path, api)))


def test_sub_agent_marks_the_turn_of_its_parent(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Delegate") as stream:
            assert (await stream.result()).taint == WEB

    with MessagesApi() as api:
        api.script(
            answer(use("task", description="look", prompt="look it up")),
            answer(use("web_fetch")),
            answer("report"),
            to("family", "done"),
        )
        asyncio.run(play(bench(tmp_path, api)))


def test_nudge_goes_on_with_what_the_turn_before_it_had_seen(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Read it") as stream:
            await stream.result()
            stream.query.push(Prompt(text="", words="", notes=("Wrap it.",)))
            assert (await stream.result(2)).taint == WEB

    with MessagesApi() as api:
        api.script(answer(use("web_fetch")), answer("unwrapped"), to("family", "wrapped"))
        asyncio.run(play(bench(tmp_path, api)))


def test_rows_delivered_again_after_a_kill_are_as_tainted_as_before(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> str:
        async with bench.stream(prompt("Read it", "m-1")) as stream:
            await stream.until(lambda: len(api.requests) == 2, "the request after the tool")
            return stream.continuation

    async def again(bench: Bench, continuation: str) -> None:
        async with bench.stream(prompt("Read it", "m-1"), continuation) as stream:
            assert (await stream.result()).taint == WEB
        async with bench.stream(prompt("Read it", "m-1"), continuation) as stream:
            assert (await stream.result()).taint == WEB  # said again from the file

    with MessagesApi() as api:
        held = answer("never", first_byte_seconds=30.0)
        api.script(answer(use("web_fetch")), held)
        continuation = asyncio.run(begin(bench(tmp_path, api)))
        api.script(to("family", "done"))
        asyncio.run(again(bench(tmp_path, api), continuation))


def test_taint_of_an_unfinished_turn_outlives_its_compaction(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> str:
        async with bench.stream(prompt("Read it", "m-1")) as stream:
            await stream.until(lambda: len(api.requests) >= 4, "the request after the compaction")
            return stream.continuation

    async def again(bench: Bench, continuation: str) -> None:
        async with bench.stream(prompt("Read it", "m-1"), continuation) as stream:
            assert (await stream.result()).taint == WEB

    with MessagesApi() as api:
        full = answer(use("echo"), usage={"input_tokens": 164_990, "output_tokens": 50})
        held = answer("never", first_byte_seconds=30.0)
        api.script(answer(use("web_fetch")), full, held)
        continuation = asyncio.run(begin(bench(tmp_path, api)))
        api.script(to("family", "done"))
        asyncio.run(again(bench(tmp_path, api), continuation))
