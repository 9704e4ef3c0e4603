"""Compaction in the background: begun between turns, put in place at a boundary (R-281, R-283)."""

import asyncio
import json
import threading
from pathlib import Path

from helpers.claude_engine_bench import Bench, Stream, prompt
from helpers.messages_api.answers import Reply, answer, overloaded, summary, think, to, use
from helpers.messages_api.checks import BINDING_BETA
from helpers.messages_api.server import MessagesApi, Request

from runner.providers.base import Activity, Compacted, Failure, OpenEnds
from runner.providers.claude.provider import ClaudeProvider

NEARLY_FULL = {"input_tokens": 140_000, "output_tokens": 50}
FULL = {"input_tokens": 164_990, "output_tokens": 50}


def compactions(api: MessagesApi) -> list[Request]:
    return [request for request in api.requests if "compaction" in request.body]


async def compacted(stream: Stream) -> None:
    await stream.until(
        lambda: any(isinstance(event, Compacted) for event in stream.events), "the compaction"
    )


def test_nearly_full_conversation_is_shortened_after_its_turn(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.ends = OpenEnds(("Deploy: Go live?",), ("bg-1: make all",))
        async with bench.stream("One") as stream:
            await stream.result()
            await compacted(stream)
            assert isinstance(stream.provider, ClaudeProvider)
            assert not stream.provider.busy
            stream.query.push(prompt("Two"))
            await stream.result(2)

    with MessagesApi() as api:
        api.script(to("family", "first", usage=NEARLY_FULL), to("family", "second"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        (wish,) = compactions(api)
        assert wish.messages[0]["content"][0]["text"] == "One"
        last = api.requests[-1]
        assert last.messages[0]["content"][0]["type"] == "compaction"
        for words in ("Two", "Deploy: Go live?", "bg-1: make all", "`family`"):
            assert words in json.dumps(last.messages)
        assert api.refusals == []


def test_conversation_goes_on_while_the_summary_is_made(tmp_path: Path) -> None:
    gate = threading.Event()

    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            await stream.until(lambda: compactions(api), "the request for a summary")
            assert isinstance(stream.provider, ClaudeProvider)
            assert stream.provider.busy
            stream.query.push(prompt("Two"))
            assert (await stream.result(2)).text == '<message to="family">second</message>'
            gate.set()
            await compacted(stream)
            stream.query.push(prompt("Three"))
            await stream.result(3)
            continuation = stream.continuation
        async with bench.stream("Four", continuation) as stream:
            await stream.result()

    with MessagesApi() as api:
        held = summary("the gist")
        api.script_compaction(answer(*held.blocks, stop_reason="compaction", gate=gate))
        api.script(
            answer(think("hm"), "first", usage=NEARLY_FULL),
            answer(think("hm too"), '<message to="family">second</message>'),
            to("family", "third"),
            to("family", "fourth"),
        )
        asyncio.run(play(Bench(tmp_path, api.url)))
        _, _, second, third, fourth = api.requests
        assert "One" in json.dumps(second.messages)
        for later in (third, fourth):
            assert later.messages[0]["content"][0]["content"] == "the gist"
            text = json.dumps(later.messages)
            assert "One" not in text
            assert "Two" in text
            assert "hm too" in text
        assert third.body["system"][0]["text"] == second.body["system"][0]["text"]
        assert len(compactions(api)) == 1
        assert api.refusals == []


def test_turn_that_fills_the_window_waits_for_the_summary_that_is_being_made(
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            await stream.until(lambda: compactions(api), "the request for a summary")
            stream.query.push(prompt("Two"))
            await stream.until(lambda: len(bench.toolbox.ran) == 1, "the tool")
            assert len(api.requests) == 3
            gate.set()
            await stream.result(2)

    with MessagesApi() as api:
        held = summary("the gist")
        api.script_compaction(answer(*held.blocks, stop_reason="compaction", gate=gate))
        api.script(
            to("family", "first", usage=NEARLY_FULL),
            answer(use("echo", call_id="toolu_e"), usage=FULL),
            to("family", "second"),
        )
        asyncio.run(play(Bench(tmp_path, api.url)))
        last = api.requests[-1]
        assert last.messages[0]["content"][0]["content"] == "the gist"
        assert "toolu_e" in last.results
        assert len(compactions(api)) == 1
        assert api.refusals == []


def test_nothing_is_compacted_right_after_an_interrupt(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            stream.query.push(prompt("Two"))
            await stream.until(lambda: len(api.requests) == 3, "the call after the tool")
            stream.query.interrupt()
            assert (await stream.result(2)).stop_reason == "interrupted"
            stream.query.push(prompt("Three"))
            await stream.result(3)
            assert not compactions(api)

    with MessagesApi() as api:
        api.script(
            to("family", "first"),
            answer(use("echo"), usage=NEARLY_FULL),
            answer("never", first_byte_seconds=30.0),
            to("family", "third", usage={"input_tokens": 100, "output_tokens": 5}),
        )
        asyncio.run(play(Bench(tmp_path, api.url)))


def test_failing_summary_in_the_background_is_nobodys_trouble(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            assert isinstance(stream.provider, ClaudeProvider)
            await stream.until(lambda: len(compactions(api)) == 6, "all tries")
            provider = stream.provider
            await stream.until(lambda: not provider.busy, "the end of the background work")
            stream.query.push(prompt("Two"))
            await stream.result(2)
            assert not provider.busy, "each try costs as much as the whole conversation"
            assert not any(isinstance(event, Failure) for event in stream.events)

    with MessagesApi() as api:
        api.script_compaction(*(overloaded(),) * 6)
        api.script(
            to("family", "first", usage=NEARLY_FULL),
            to("family", "second", usage=NEARLY_FULL),
        )
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert len(compactions(api)) == 6
        assert api.refusals == []


def test_stream_that_ends_takes_the_background_work_with_it(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            await stream.until(lambda: compactions(api), "the request for a summary")
            stream.query.end()
            await stream.ended()
            assert isinstance(stream.provider, ClaudeProvider)
            assert not stream.provider.busy

    with MessagesApi() as api:
        held = summary("never")
        api.script_compaction(
            answer(*held.blocks, stop_reason="compaction", first_byte_seconds=30.0)
        )
        api.script(to("family", "first", usage=NEARLY_FULL))
        asyncio.run(play(Bench(tmp_path, api.url)))


def test_summary_of_our_own_lets_old_thinking_go(tmp_path: Path) -> None:
    """An endpoint without server compaction: the turns kept behind it get another beginning."""
    gate = threading.Event()

    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            await stream.until(lambda: len(api.requests) == 3, "our own request for a summary")
            stream.query.push(prompt("Two"))
            await stream.result(2)
            gate.set()
            await compacted(stream)
            stream.query.push(prompt("Three"))
            await stream.result(3)

    with MessagesApi() as api:

        def reply(request: Request) -> Reply:
            text = request.last_text
            if request.body.get("tool_choice") == {"type": "none"}:
                return answer("our summary", gate=gate)
            if "One" in text:
                return answer(think("hm"), "first", usage=NEARLY_FULL)
            return answer(think("hm too"), "more")

        api.supported_betas = frozenset({BINDING_BETA})
        api.respond(reply)
        asyncio.run(play(Bench(tmp_path, api.url)))
        last = api.requests[-1]
        assert "our summary" in json.dumps(last.messages[0])
        assert "Two" in json.dumps(last.messages)
        assert last.body["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
        (refusal,) = api.refusals
        assert "compact" in refusal


def test_signs_of_life_of_the_background_are_not_those_of_a_turn(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            before = len(stream.events)
            await compacted(stream)
            assert not any(isinstance(event, Activity) for event in stream.events[before:])

    with MessagesApi() as api:
        api.script(to("family", "first", usage=NEARLY_FULL))
        asyncio.run(play(Bench(tmp_path, api.url)))
