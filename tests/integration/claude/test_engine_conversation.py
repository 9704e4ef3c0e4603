import asyncio
import json
import threading
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.claude_engine_bench import Bench, prompt
from helpers.claude_engine_tools import FakeToolbox
from helpers.messages_api.answers import answer, failing, say, think, to, use
from helpers.messages_api.checks import markers, without_markers
from helpers.messages_api.server import MessagesApi

from runner.errors import QueryEndedError
from runner.providers.base import Attachment, Began, Init, Prompt
from runner.toolbox.base import ToolResult, text_result


def test_an_answer_comes_with_its_origin_and_covers_its_ticket(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            result = await stream.result()

            assert result.text == '<message to="family">Hi.</message>'
            assert (result.covers, result.stop_reason) == (0, "end_turn")
            assert result.origin is not None
            assert result.origin.seed.startswith(f"{stream.continuation}:")
            assert isinstance(stream.events[0], Init)

    with MessagesApi() as api:
        api.script(to("family", "Hi."))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.refusals == []
        (request,) = api.requests
        assert request.body["model"] == "claude-sonnet-5-5"
        assert request.body["stream"] is True
        assert request.last_text == "Hello"


def test_tools_run_and_their_results_come_first_in_the_next_message(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Do it") as stream:
            assert (await stream.result()).text == "done"
        assert [use.arguments for use in bench.toolbox.ran] == [{"text": "a"}, {"text": "b"}]

    with MessagesApi() as api:
        first = use("echo", text="a", call_id="toolu_a")
        second = use("echo", text="b", call_id="toolu_b")
        api.script(answer(think("hm"), "working", first, second), answer("done"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.refusals == []
        assert api.requests[1].results == {"toolu_a": "echo: a", "toolu_b": "echo: b"}


def test_calls_that_only_read_run_side_by_side(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def first(_: Mapping[str, object]) -> ToolResult:
        await asyncio.wait_for(arrived.wait(), 10)
        return text_result("first")

    async def second(_: Mapping[str, object]) -> ToolResult:
        arrived.set()
        return text_result("second")

    async def play(bench: Bench) -> None:
        bench.toolbox = FakeToolbox({"one": first, "two": second}, frozenset({"one", "two"}))
        async with bench.stream("Look") as stream:
            await stream.result()

    with MessagesApi() as api:
        api.script(
            answer(use("one", call_id="toolu_1"), use("two", call_id="toolu_2")), answer("ok")
        )
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.requests[1].results == {"toolu_1": "first", "toolu_2": "second"}


def test_blocks_of_an_intermediate_answer_are_said_at_once(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Go") as stream:
            await stream.result()
            assert stream.said == ['On it. <message to="family">Started.</message>']
            assert stream.results[0].text == "finished"

    with MessagesApi() as api:
        text = say('On it. <message to="family">Started.</message>')
        api.script(answer(text, use("echo")), answer("finished"))
        asyncio.run(play(Bench(tmp_path, api.url)))


def test_commentary_without_blocks_is_not_said(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Go") as stream:
            await stream.result()
            assert stream.said == []

    with MessagesApi() as api:
        api.script(answer("Let me see.", use("echo")), answer("finished"))
        asyncio.run(play(Bench(tmp_path, api.url)))


def test_input_that_comes_while_a_tool_runs_follows_its_result(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: Mapping[str, object]) -> ToolResult:
            begun.set()
            await go_on.wait()
            return text_result("slow result")

        bench.toolbox = FakeToolbox({"slow": slow})
        async with bench.stream("Start") as stream:
            await asyncio.wait_for(begun.wait(), 10)
            assert stream.query.push(prompt("Also this")) == 1
            assert stream.query.push(prompt("And that")) == 2
            go_on.set()
            result = await stream.result()
            assert (result.covers, result.text) == (2, "all done")

    with MessagesApi() as api:
        api.script(answer(use("slow", call_id="toolu_s")), answer("all done"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        content = api.requests[1].messages[-1]["content"]
        assert [block["type"] for block in content] == ["tool_result", "text", "text"]
        assert api.requests[1].last_text == "Also this\nAnd that"
        assert api.refusals == []


def test_input_that_comes_before_the_end_continues_the_turn_without_a_gap(tmp_path: Path) -> None:
    gate = threading.Event()

    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.until(lambda: len(api.requests) == 1, "the first request")
            stream.query.push(prompt("Two"))
            gate.set()
            result = await stream.result()
            assert (result.covers, result.text) == (1, "both")
            assert len(stream.results) == 1
            assert stream.said == ['<message to="family">first</message>']

    with MessagesApi() as api:
        api.script(to("family", "first", gate=gate, gate_at=1), answer("both"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert [m["role"] for m in api.requests[1].messages] == ["user", "assistant", "user"]


def test_the_prefix_stays_the_same_over_twenty_turns(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("turn 0") as stream:
            for number in range(1, 20):
                await stream.result(number)
                stream.query.push(prompt(f"turn {number}"))
            await stream.result(20)

    with MessagesApi() as api:
        for number in range(20):
            if number % 3 == 0:
                api.script(answer(think(f"thought {number}"), use("echo", text=str(number))))
            api.script(answer(think(f"end {number}"), f"answer {number}"))
        asyncio.run(play(Bench(tmp_path, api.url)))

        assert api.refusals == []
        bodies = [without_markers(request.body) for request in api.requests]
        for earlier, later in pairwise(bodies):
            count = len(earlier["messages"])
            assert json.dumps(later["messages"][:count]) == json.dumps(earlier["messages"])
            for key in ("model", "system", "tools", "thinking"):
                assert json.dumps(later[key]) == json.dumps(earlier[key])
        for request in api.requests:
            lives = [life for life, _ in markers(request.body)]
            assert 2 <= len(lives) <= 4
            assert b'"cache_control"' in request.raw
        known: set[str] = set()
        for request in api.requests:  # every request finds what the one before it has written
            marks = {mark for _, mark in markers(request.body)}
            assert not known or marks & known
            known = marks


def test_a_nudge_is_an_operator_note(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            await stream.result()
            stream.query.push(Prompt("", "", notes=("Wrap your answer.",)))
            await stream.result(2)

    with MessagesApi() as api:
        api.script(answer("bare"), answer("wrapped"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.requests[1].last_text == "<system>Wrap your answer.</system>"


def test_notes_with_a_message_have_a_role_of_their_own(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream(prompt("Hello", notes=("A skill was invoked.",))) as stream:
            await stream.result()

    with MessagesApi() as api:
        api.script(answer("ok"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        roles = [message["role"] for message in api.requests[0].messages]
        assert roles == ["user", "system"]
        assert api.refusals == []


def test_news_from_the_background_begin_a_turn_of_their_own(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            await stream.result()
            bench.toolbox.tell("command 7 ended")
            result = await stream.result(2)
            assert (result.text, result.covers) == ("seen", 0)
            assert any(isinstance(event, Began) for event in stream.events)

    with MessagesApi() as api:
        api.script(answer("hi"), answer("seen"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.requests[1].last_text == "<system>command 7 ended</system>"


def test_changed_destinations_are_told_and_do_not_change_the_prefix(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            await stream.result()
            bench.words.addendum = "You can write to: `family`, `work`."
            stream.query.push(prompt("Again"))
            await stream.result(2)
            stream.query.push(prompt("And again"))
            await stream.result(3)

    with MessagesApi() as api:
        api.script(answer(think("x"), "1"), answer("2"), answer("3"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert "`work`" in api.requests[1].last_text
        assert "`work`" not in api.requests[2].last_text
        systems = [without_markers(request.body["system"]) for request in api.requests]
        assert systems[0] == systems[1] == systems[2]
        assert api.refusals == []


def test_the_end_of_input_ends_the_stream_after_the_turn(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            stream.query.end()
            await stream.ended()
            assert [result.text for result in stream.results] == ["hi"]
            assert stream.error is None
            with pytest.raises(QueryEndedError):
                stream.query.push(prompt("late"))

    with MessagesApi() as api:
        api.script(answer("hi"))
        asyncio.run(play(Bench(tmp_path, api.url)))


def test_the_next_container_goes_on_with_the_conversation(tmp_path: Path) -> None:
    async def play() -> None:
        async with Bench(tmp_path, api.url).stream("My name is Bob") as stream:
            await stream.result()
            continuation = stream.continuation
        async with Bench(tmp_path, api.url).stream("My name?", continuation) as stream:
            assert (await stream.result()).text == "Bob"
            assert stream.continuation == continuation

    with MessagesApi() as api:
        api.script(answer(think("noted"), "ok"), answer("Bob"))
        asyncio.run(play())
        assert "My name is Bob" in api.requests[1].everything
        assert api.refusals == []


def test_every_call_leaves_a_row_of_usage(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "")

    async def play() -> None:
        async with bench.stream(prompt("Hello", "in-7")) as stream:
            await stream.result()

    with MessagesApi() as api:
        bench.url = api.url
        api.script(answer(use("echo")), answer("hi"))
        asyncio.run(play())

    assert [(row.kind, row.stop_reason, row.inbound_id) for row in bench.usage.rows] == [
        ("main", "tool_use", "in-7"),
        ("main", "end_turn", "in-7"),
    ]
    assert len({row.turn for row in bench.usage.rows}) == 1
    assert all(row.output_tokens > 0 and row.cost_usd for row in bench.usage.rows)


def test_images_are_shown_and_refused_ones_are_named(tmp_path: Path) -> None:
    picture, fake = tmp_path / "a.png", tmp_path / "b.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    fake.write_text("no picture")
    files = (Attachment(picture, "a.png"), Attachment(fake, "b.png"))

    async def play(bench: Bench) -> None:
        async with bench.stream(prompt("See", attachments=files)) as stream:
            await stream.result()

    with MessagesApi() as api:
        api.script(failing(400, "invalid_request_error", "Could not process image"), answer("ok"))
        asyncio.run(play(Bench(tmp_path / "s", api.url)))
        shown = api.requests[0].messages[0]["content"]
        assert [block["type"] for block in shown] == ["text", "text", "image", "text"]
        assert "it is no PNG" in shown[3]["text"]
        again = api.requests[1].messages[0]["content"]
        assert [block["type"] for block in again] == ["text"] * 4
        assert "could not read this file" in again[2]["text"]
