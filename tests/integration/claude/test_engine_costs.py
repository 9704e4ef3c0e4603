"""Caps in dollars (R-322): what a turn and what a day may cost."""

import asyncio
from pathlib import Path

from helpers.claude_engine_bench import MODEL, Bench, prompt
from helpers.messages_api.answers import answer, to, use
from helpers.messages_api.server import MessagesApi

from contract.config import RunnerConfig
from runner.errors import Trouble

DEAR = {"input_tokens": 100_000, "output_tokens": 10}


def test_after_the_days_money_is_spent_the_model_is_not_asked(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("One") as stream:
            await stream.result()
            stream.query.push(prompt("Two"))
            assert (await stream.result(2)).text is None
            assert [failure.trouble for failure in stream.failures] == [Trouble.DAY_LIMIT]

    with MessagesApi() as api:
        api.script(to("family", "first", usage=DEAR))
        asyncio.run(
            play(Bench(tmp_path, api.url, RunnerConfig(model=MODEL, max_cost_per_day_usd=0.1)))
        )
        assert len(api.requests) == 1


def test_what_a_sub_agent_costs_counts_for_the_turn(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("Delegate") as stream:
            await stream.result()

    with MessagesApi() as api:
        api.script(
            answer(use("task", description="look", prompt="look it up")),
            answer("report", usage=DEAR),
            to("family", "done"),
        )
        asyncio.run(
            play(Bench(tmp_path, api.url, RunnerConfig(model=MODEL, max_cost_per_turn_usd=0.1)))
        )
        assert api.requests[-1].body["tool_choice"] == {"type": "none"}
