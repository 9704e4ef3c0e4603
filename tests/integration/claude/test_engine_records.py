"""What is written down about an answer, and what the session tells about its rhythm."""

import asyncio
import json
from pathlib import Path

from helpers.claude_engine_bench import Bench
from helpers.claude_engine_tools import FakeToolbox, echo
from helpers.messages_api.answers import answer, failing, to, use
from helpers.messages_api.server import MessagesApi

from contract.clock import utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import create_inbound, open_inbound
from contract.jsontext import dump
from runner.providers.base import Sent
from runner.toolbox.base import ToolSpec

ANYTHING = {"type": "object", "properties": {}}


class Listing(FakeToolbox):
    """Its tools can be called, but are only listed."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        return self.extra_specs


def test_messages_of_an_answer_are_noted_in_the_conversation(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            result = await stream.result()
            assert result.origin is not None
            stream.query.note_sent(result.origin, [Sent(0, "telegram:77", "msg-1-abcdef")])
            foreign = type(result.origin)("nc1-other:4", result.origin.at)
            stream.query.note_sent(foreign, [Sent(0, "telegram:77", "msg-2-abcdef")])

        records = [json.loads(line) for line in bench.conversations[0].read_text().splitlines()]
        answered = next(record for record in records if record["t"] == "assistant")
        (noted,) = (record for record in records if record["t"] == "dispatch")
        assert (noted["ref"], noted["block"]) == (answered["n"], 0)
        assert (noted["dest"], noted["outbound_id"]) == ("telegram:77", "msg-1-abcdef")

    with MessagesApi() as api:
        api.script(to("family", "Hi."))
        asyncio.run(play(Bench(tmp_path, api.url)))


def lifetime(api: MessagesApi) -> str | None:
    found: str | None = api.requests[0].body["system"][-1]["cache_control"].get("ttl")
    return found


def test_task_that_comes_back_within_the_hour_keeps_the_prefix_for_an_hour(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            await stream.result()

    for recurrence, expected in (("*/30 * * * *", "1h"), ("0 9 * * *", None)):
        with MessagesApi() as api:
            bench = Bench(tmp_path / str(expected), api.url)
            bench.paths.in_dir.mkdir(parents=True)
            create_inbound(bench.paths.inbound_db)
            with open_inbound(bench.paths.inbound_db) as inbound:
                inbound.insert_message(
                    NewInbound(
                        id="t-1",
                        kind="task",
                        timestamp=utc_now(),
                        content=dump({"prompt": "look"}),
                        recurrence=recurrence,
                    )
                )
            api.script(to("family", "Hi."))
            asyncio.run(play(bench))
            assert lifetime(api) == expected


def test_tool_found_by_the_servers_search_is_carried_out(tmp_path: Path) -> None:
    found = ToolSpec("mcp__a__one", "finds things", ANYTHING)
    describe = ToolSpec("mcp_describe", "Shows.\n\nTools:\na: one", ANYTHING, listed=(found,))

    async def play(bench: Bench) -> None:
        bench.toolbox = Listing({"mcp__a__one": echo}, extra_specs=(describe,))
        async with bench.stream("Look") as stream:
            assert (await stream.result()).text == "done"

    searched = [
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "tool_search_tool_bm25",
            "input": {"query": "things"},
        },
        {
            "type": "tool_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": {
                "type": "tool_search_tool_search_result",
                "tool_references": [{"type": "tool_reference", "tool_name": "mcp__a__one"}],
            },
        },
    ]
    with MessagesApi() as api:
        api.script(answer(*searched, use("mcp__a__one", text="x", call_id="t1")), answer("done"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.requests[1].messages[1]["content"][:2] == searched
        assert api.requests[1].results == {"t1": "echo: x"}
        assert api.refusals == []


def test_endpoint_that_refuses_the_search_gets_the_list_of_tools(tmp_path: Path) -> None:
    found = ToolSpec("mcp__a__one", "finds things", ANYTHING)
    describe = ToolSpec("mcp_describe", "Shows.\n\nTools:\na: one", ANYTHING, listed=(found,))

    async def play(bench: Bench) -> None:
        bench.toolbox.extra_specs = (describe,)
        async with bench.stream("Look") as stream:
            assert (await stream.result()).text == "done"

    refused = failing(
        400, "invalid_request_error", "tools.3: Input tag 'tool_search_tool_bm25_20251119' unknown"
    )
    with MessagesApi() as api:
        api.script(refused, answer("done"))
        asyncio.run(play(Bench(tmp_path, api.url)))
        declared = {tool["name"]: tool for tool in api.requests[1].body["tools"]}
        assert "mcp__a__one" not in declared
        assert "a: one" in declared["mcp_describe"]["description"]
