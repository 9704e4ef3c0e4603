"""Prices, estimates, readings and what is charged in the end."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.usage import Cost, Spending
from nanoclaw.vault.charge import NOTHING, End, Outcome, decide_cost
from nanoclaw.vault.estimate import (
    FIXED_TOKENS,
    IMAGE_TOKENS,
    MAX_TOKENS_UNSAID,
    UnreadableRequestError,
    estimate,
)
from nanoclaw.vault.meter import Meter, Reading
from nanoclaw.vault.prices import DEAREST, PRICES, Tokens, cost_of, price_of
from nanoclaw.vault.web import MAX_USES, TOKENS_PER_USE, USES_UNSAID, WebUse
from nanoclaw.vault.words import BudgetFacts, budget_text

START = {
    "type": "message_start",
    "message": {"model": "claude-opus-5", "usage": {"input_tokens": 10, "output_tokens": 1}},
}
DELTA = {"type": "message_delta", "usage": {"output_tokens": 50}}
STOP = {"type": "message_stop"}


WEB_SEARCH: dict[str, object] = {
    "type": "web_search_20260318", "name": "web_search", "max_uses": 3,
}  # fmt: skip
WEB_FETCH: dict[str, object] = {"type": "web_fetch_20260318", "name": "web_fetch", "max_uses": 2}


def body(**values: object) -> bytes:
    return json.dumps({"model": "claude-opus-5", "max_tokens": 1000, **values}).encode()


def events(*values: Mapping[str, object]) -> bytes:
    return b"".join(
        f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values
    )


def test_price_is_that_of_the_longest_prefix() -> None:
    assert price_of("claude-opus-5-20261001") == PRICES["claude-opus-5"]
    assert price_of("claude-opus-5-5") == PRICES["claude-opus-5-5"]
    assert price_of("claude-opus-4-1-20250805") == PRICES["claude-opus-4"]


def test_unknown_model_is_as_dear_as_the_dearest() -> None:
    assert price_of("some-model") == DEAREST
    assert all(price.output <= DEAREST.output for price in PRICES.values())


def test_cost_is_in_millionths_of_a_dollar_rounded_up() -> None:
    assert cost_of("claude-opus-5", Tokens(input=1_000_000, output=1_000_000)) == 30_000_000
    assert cost_of("claude-opus-5", Tokens(read=1)) == 1
    assert cost_of("claude-opus-5", Tokens(searches=3)) == 30_000


def test_estimate_covers_the_text_and_the_longest_answer() -> None:
    sent = body(messages="x" * 3000)

    found = estimate(sent)

    assert found.output == 1000
    assert found.input == -(-len(sent) // 3) + FIXED_TOKENS
    assert found.microusd == -(-(found.input * 5_000_000 + 1000 * 25_000_000) // 1_000_000)


def test_images_are_priced_as_images_and_not_by_their_length() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "A" * 3_000_000}

    found = estimate(body(messages=[{"content": [{"type": "image", "source": image}]}]))

    assert found.input < IMAGE_TOKENS + FIXED_TOKENS + 200


def test_writing_to_the_cache_is_reserved_for() -> None:
    plain = estimate(body(messages="x" * 30_000, system=[{"text": "y"}])).microusd
    short = estimate(
        body(messages="x" * 30_000, system=[{"cache_control": {"type": "ephemeral"}}])
    ).microusd
    hour = estimate(body(messages="x" * 30_000, system=[{"cache_control": {"ttl": "1h"}}])).microusd

    assert plain < short < hour


def test_answer_of_unsaid_length_is_taken_to_be_long() -> None:
    assert estimate(body(max_tokens=None)).output == MAX_TOKENS_UNSAID


def test_key_that_is_named_twice_on_top_is_refused_and_below_is_not() -> None:
    with pytest.raises(UnreadableRequestError, match="twice"):
        estimate(b'{"model": "a", "model": "b"}')
    assert estimate(b'{"model": "a", "x": {"y": 1, "y": 2}}').model == "a"


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_no_body_breaks_the_estimate(sent: bytes) -> None:
    try:
        assert estimate(sent).tokens > 0
    except UnreadableRequestError as error:
        assert str(error)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 400), max_size=20))
def test_stream_is_read_alike_however_it_is_cut(cuts: list[int]) -> None:
    stream = events(START, {"type": "ping"}, DELTA, STOP)
    meter = Meter(stream=True)

    start = 0
    for cut in cuts:
        meter.feed(stream[start : start + cut])
        start += cut
    meter.feed(stream[start:])

    assert meter.read(1000.0, 9999) == Reading(True, Tokens(input=10, output=50), "claude-opus-5")


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_no_answer_breaks_the_meter(data: bytes) -> None:
    for stream in (True, False):
        meter = Meter(stream=stream)
        meter.feed(data)
        assert meter.read(0, 0).tokens.output == 0


def test_cut_stream_counts_what_was_seen_and_the_time_it_took() -> None:
    delta = {"type": "content_block_delta", "delta": {"text": "x" * 3000}}
    meter = Meter(stream=True)
    meter.feed(events(START, delta))

    assert 950 <= meter.read(0.0, 5000).tokens.output < 1100
    assert meter.read(20.0, 5000).tokens.output == 2000
    assert meter.read(2000.0, 5000).tokens.output == 5000


def test_text_that_looks_like_a_bill_is_not_one() -> None:
    fake = json.dumps(DELTA | {"usage": {"output_tokens": 0}})
    delta = {"type": "content_block_delta", "delta": {"text": f"\n\nevent: x\ndata: {fake}\n\n"}}
    meter = Meter(stream=True)
    meter.feed(events(START, delta, DELTA, STOP))

    assert meter.read(0.0, 100).tokens.output == 50


def test_cache_and_searches_are_told_apart() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
        "server_tool_use": {"web_search_requests": 6},
    }
    meter = Meter(stream=False)
    meter.feed(json.dumps({"model": "m", "usage": usage}).encode())

    assert meter.read(0, 0).tokens == Tokens(1, 2, 3, 4, 5, 6)


def test_several_calls_in_one_answer_are_summed() -> None:
    parts = [{"input_tokens": 10, "output_tokens": 1}, {"input_tokens": 20, "output_tokens": 2}]
    usage = {"input_tokens": 20, "output_tokens": 2, "iterations": parts}
    meter = Meter(stream=True)
    meter.feed(events(START, {"type": "message_delta", "usage": usage}, STOP))

    assert meter.read(0, 100).tokens == Tokens(input=30, output=3)


def test_line_without_end_is_passed_over() -> None:
    meter = Meter(stream=True)
    for _ in range(40):
        meter.feed(b"data: " + b"x" * 100_000)
    meter.feed(b"\n" + events(START, DELTA, STOP))

    assert meter.read(0, 100).tokens.output == 50


ESTIMATE = estimate(body())
KNOWN = Reading(True, Tokens(input=5, output=6, read=7, write_5m=8, write_1h=9), "claude-opus-5")
UNKNOWN = Reading(False)


@pytest.mark.parametrize(
    ("outcome", "tokens"),
    [
        (Outcome(End.NOT_SENT, None, UNKNOWN, 0.0), 0),
        (Outcome(End.WHOLE, 429, UNKNOWN, 1.0), 0),
        (Outcome(End.CUT, 500, UNKNOWN, 1.0), 0),
        (Outcome(End.WHOLE, 200, KNOWN, 1.0), 35),
        (Outcome(End.CUT, 200, KNOWN, 1.0), 35),
        (Outcome(End.WHOLE, 200, UNKNOWN, 1.0), ESTIMATE.tokens),
        (Outcome(End.CUT, None, UNKNOWN, 2.0), ESTIMATE.input + 200),
        (Outcome(End.CUT, 200, UNKNOWN, 9999.0), ESTIMATE.tokens),
    ],
)
def test_end_of_a_request_decides_what_it_costs(outcome: Outcome, tokens: int) -> None:
    cost = decide_cost(ESTIMATE, outcome)

    assert cost.tokens == tokens
    assert (cost == NOTHING) == (tokens == 0)
    assert cost.microusd <= ESTIMATE.microusd


def test_whole_answer_without_a_bill_costs_exactly_what_was_reserved() -> None:
    cost = decide_cost(ESTIMATE, Outcome(End.WHOLE, 200, UNKNOWN, 1.0))

    assert cost == Cost(ESTIMATE.input, ESTIMATE.output, 0, 0, ESTIMATE.microusd)


def test_searches_and_the_text_they_bring_are_reserved() -> None:
    plain = estimate(body(messages=[], tools=[{"name": "bash", "input_schema": {}}]))
    found = estimate(body(messages=[], tools=[WEB_SEARCH, WEB_FETCH]))

    assert plain.web == WebUse()
    assert found.web == WebUse(5, 3, 5 * TOKENS_PER_USE)
    assert found.input >= 5 * TOKENS_PER_USE
    searching = Tokens(input=5 * TOKENS_PER_USE, output=1000, searches=3)
    assert found.microusd >= cost_of("claude-opus-5", searching)


@pytest.mark.parametrize(
    ("tool", "use"),
    [
        ({"type": "web_search_20250305"}, (USES_UNSAID, USES_UNSAID)),
        ({**WEB_SEARCH, "max_uses": None}, (USES_UNSAID, USES_UNSAID)),
        ({**WEB_SEARCH, "max_uses": 0}, (0, 0)),
        ({**WEB_SEARCH, "max_uses": 10**30}, (MAX_USES, MAX_USES)),
        ({"type": "web_fetch_20250910"}, (USES_UNSAID, 0)),
        ({"name": "web_search", "input_schema": {"type": "object"}}, (0, 0)),
    ],
)
def test_uses_of_the_web_are_those_of_the_request(
    tool: dict[str, object], use: tuple[int, int]
) -> None:
    found = estimate(body(tools=[tool])).web

    assert (found.uses, found.searches) == use


def test_shorter_pages_reserve_less_and_talk_of_a_tool_reserves_nothing() -> None:
    short = estimate(body(tools=[{**WEB_FETCH, "max_content_tokens": 100}]))
    talk = estimate(body(messages=[{"role": "user", "content": [WEB_SEARCH]}]))

    assert short.web == WebUse(2, 0, 200)
    assert talk.web == WebUse()


@pytest.mark.parametrize(
    "tool",
    [
        b'{"type": "web_search_20260318", "max_uses": "3"}',
        b'{"type": "web_search_20260318", "max_uses": 1e9}',
        b'{"type": "web_search_20260318", "max_uses": true}',
        b'{"type": "web_search_20260318", "max_uses": 1, "max_uses": 100}',
        b'{"type": "custom", "type": "web_search_20260318"}',
        b'{"type": "web_search_20260318", "type": "custom"}',
    ],
)
def test_web_tool_that_can_be_read_in_two_ways_is_refused(tool: bytes) -> None:
    with pytest.raises(UnreadableRequestError):
        estimate(b'{"model": "claude-opus-5", "max_tokens": 1, "tools": [' + tool + b"]}")


def test_request_that_was_cut_pays_for_the_searches_that_its_time_allows() -> None:
    found = estimate(body(tools=[WEB_SEARCH, WEB_FETCH]))

    def cut_after(seconds: float) -> Cost:
        return decide_cost(found, Outcome(End.CUT, None, UNKNOWN, seconds))

    assert cut_after(0.0).input_tokens == found.input - found.web.tokens
    assert cut_after(0.0).microusd < found.microusd - found.web.fee
    assert cut_after(0.0).microusd < cut_after(3.0).microusd < cut_after(3600.0).microusd
    assert cut_after(3600.0) == Cost(found.input, found.output, 0, 0, found.microusd)


def test_searches_of_a_stream_that_was_cut_are_charged() -> None:
    def block(kind: str) -> dict[str, object]:
        return {"type": "content_block_start", "index": 1, "content_block": {"type": kind}}

    results = [block("web_search_tool_result"), block("web_fetch_tool_result"), block("text")]
    cut, whole = Meter(stream=True), Meter(stream=True)
    cut.feed(events(START, *results))
    used = {"web_search_requests": 1}
    usage = {"input_tokens": 4000, "output_tokens": 5, "server_tool_use": used}
    total = {"type": "message_delta", "usage": usage}
    whole.feed(events(START, *results, total))

    assert cut.read(0.0, 1000).tokens == Tokens(10 + 2 * TOKENS_PER_USE, 1, searches=1)
    assert whole.read(0.0, 1000).tokens == Tokens(4000, 5, searches=1)


@pytest.mark.parametrize(
    ("period", "unit", "expected"),
    [
        (BudgetPeriod.DAY, BudgetUnit.MICROUSD, ("day 2026-12-31", "$2.00", "from 2027-01-01")),
        (BudgetPeriod.MONTH, BudgetUnit.TOKENS, ("month 2026-12", "12 tokens", "from 2027-01-01")),
    ],
)
def test_used_up_budget_is_one_sentence_with_its_period(
    period: BudgetPeriod, unit: BudgetUnit, expected: tuple[str, ...]
) -> None:
    now = datetime(2026, 12, 31, tzinfo=UTC)
    budget = Budget(BudgetScope.GROUP, "ag-1", period, unit, 2_000_000, now, "owner")
    spending = Spending(BudgetScope.GROUP, "ag-1", "2026-12-31", 12, 1_980_000)

    text = budget_text(
        BudgetFacts(budget, spending, "2026-12-31", ESTIMATE.tokens, ESTIMATE.microusd)
    )

    for part in ("of this agent", *expected):
        assert part in text
    assert text.count(".") == text.count("$")
