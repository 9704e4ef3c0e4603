import pytest

from runner.providers.claude.models import ALIASES
from runner.providers.claude.prices import Tokens, read_prices, shipped_prices

MILLION = 1_000_000


def test_every_alias_has_a_price_and_the_table_a_date() -> None:
    table = shipped_prices()

    assert all(table.price_of(model) for model in ALIASES.values())
    assert table.date.startswith("20")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-5-5", 2.0),
        ("claude-opus-5-5", 4.0),
        ("claude-opus-5-20260724", 5.0),
        ("claude-haiku-4-5-20251001", 1.0),
        ("claude-haiku-4-5@20251001", 1.0),
        ("claude-opus-51", None),
        ("llama", None),
    ],
)
def test_longest_prefix_gives_the_price(model: str, expected: float | None) -> None:
    assert shipped_prices().cost(model, Tokens(input=MILLION // 10)) == (
        None if expected is None else pytest.approx(expected / 10)
    )


def test_each_kind_of_token_has_its_price() -> None:
    tokens = Tokens(input=MILLION, output=MILLION, write_5m=MILLION, write_1h=MILLION, read=MILLION)

    cost = shipped_prices().cost("claude-fable-5-1", tokens)

    assert cost == pytest.approx(10 + 50 + 12.5 + 20 + 0.25)


def test_long_prompts_can_cost_more() -> None:
    table = shipped_prices()

    short = table.cost("claude-haiku-5-5", Tokens(input=50_000, read=50_000))
    long = table.cost("claude-haiku-5-5", Tokens(input=50_000, read=50_001))

    assert short == pytest.approx(0.0055)
    assert long == pytest.approx(0.0275, abs=1e-6)


def test_searches_are_paid_by_the_thousand() -> None:
    assert shipped_prices().search_cost(3) == pytest.approx(0.03)


def test_host_may_override_and_add_prices() -> None:
    table = read_prices(
        {
            "claude-sonnet-5-5": {"input": 1},
            "llama": {"input": 0, "output": 0},
            "house-model": {"input": 1, "output": 2},
        }
    )

    assert table.problems == ()
    assert table.cost("claude-sonnet-5-5", Tokens(input=MILLION, output=MILLION)) == 11
    assert table.cost("llama-70b", Tokens(input=5)) == 0
    house = table.cost("house-model", Tokens(write_5m=MILLION, write_1h=MILLION, read=MILLION))
    assert house == pytest.approx(1.25 + 2 + 0.1)


def test_whole_table_may_be_given() -> None:
    table = read_prices({"models": {"m": {"input": 1, "output": 1}}, "webSearches": 5})

    assert table.web_searches == 5
    assert table.price_of("m") is not None


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        {"input": "cheap", "output": 1},
        {"input": -1, "output": 1},
        {"input": True, "output": 1},
        {"input": 1, "output": 1, "above": {"promptTokens": 0, "input": 2}},
        {"input": 1, "output": 1, "above": 7},
    ],
)
def test_wrong_price_is_named_and_left_out(entry: object) -> None:
    table = read_prices({"house-model": entry})

    assert "house-model" in table.problems[0]
    assert table.price_of("house-model") is None
