from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from contract.outbound.row import UsageEntry
from runner.providers.claude.prices import shipped_prices
from runner.providers.claude.usage import (
    Call,
    UsageKind,
    day_start,
    usage_entry,
)

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
CALL = Call(
    at=NOW,
    conversation="nc1-a",
    turn="t1",
    kind=UsageKind.MAIN,
    model="claude-sonnet-5-5",
    duration_ms=1200,
    stop_reason="end_turn",
    retries=1,
    inbound_id="m-1",
)


def test_row_holds_what_the_response_says() -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 500,
        "output_tokens_details": {"thinking_tokens": 300},
        "cache_read_input_tokens": 20_000,
        "cache_creation_input_tokens": 3000,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 1000,
            "ephemeral_1h_input_tokens": 2000,
        },
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }

    entry = usage_entry(CALL, usage, shipped_prices())

    cost = entry.cost_usd
    assert replace(entry, cost_usd=None) == UsageEntry(
        at=NOW,
        conversation="nc1-a",
        turn="t1",
        kind="main",
        model="claude-sonnet-5-5",
        input_tokens=1000,
        output_tokens=500,
        thinking_tokens=300,
        cache_read_tokens=20_000,
        cache_write_5m_tokens=1000,
        cache_write_1h_tokens=2000,
        web_searches=2,
        web_fetches=1,
        duration_ms=1200,
        stop_reason="end_turn",
        retries=1,
        inbound_id="m-1",
    )
    assert cost == pytest.approx(0.002 + 0.005 + 0.002 + 0.0025 + 0.008 + 0.02)


def test_undivided_cache_writes_count_as_short_ones() -> None:
    entry = usage_entry(CALL, {"cache_creation_input_tokens": 7}, shipped_prices())

    assert (entry.cache_write_5m_tokens, entry.cache_write_1h_tokens) == (7, 0)


def test_unknown_price_is_no_price() -> None:
    call = replace(CALL, model="llama")

    assert usage_entry(call, {"input_tokens": 5}, shipped_prices()).cost_usd is None


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": None, "cache_creation": 7, "server_tool_use": [], "iterations": "x"},
        {"input_tokens": -5, "iterations": [7, None]},
    ],
)
def test_strange_usage_is_nothing(usage: dict[str, object]) -> None:
    entry = usage_entry(CALL, usage, shipped_prices())

    assert (entry.input_tokens, entry.output_tokens, entry.cost_usd) == (0, 0, 0)


def test_server_tool_loops_are_in_the_totals_already() -> None:
    usage = {
        "input_tokens": 300,
        "output_tokens": 30,
        "iterations": [{"type": "message", "input_tokens": 100}, {"type": "message"}],
    }

    assert usage_entry(CALL, usage, shipped_prices()).input_tokens == 300


def test_fallback_and_compaction_are_summed_at_their_own_price() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "iterations": [
            {"type": "message", "input_tokens": 100_000, "output_tokens": 0},
            {
                "type": "fallback_message",
                "model": "claude-opus-5-5",
                "input_tokens": 100_000,
                "output_tokens": 10,
            },
            {"type": "compaction", "input_tokens": 1000, "output_tokens": 5},
        ],
    }

    entry = usage_entry(CALL, usage, shipped_prices())

    assert (entry.input_tokens, entry.output_tokens) == (201_000, 15)
    assert entry.cost_usd == pytest.approx(0.2 + 0.4 + 0.0002 + 0.002 + 0.00005)


def test_one_unknown_model_makes_the_whole_cost_unknown() -> None:
    usage = {"iterations": [{"type": "fallback_message", "model": "x"}, {"type": "message"}]}

    assert usage_entry(CALL, usage, shipped_prices()).cost_usd is None


def test_day_begins_at_midnight_of_the_zone() -> None:
    assert day_start(NOW, timezone(timedelta(hours=-10))) == datetime(2026, 11, 24, 10, tzinfo=UTC)
    summer = datetime(2026, 10, 25, 12, tzinfo=UTC)
    assert day_start(summer, ZoneInfo("Europe/Berlin")) == datetime(2026, 10, 24, 22, tzinfo=UTC)
