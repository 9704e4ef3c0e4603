"""``[[endpoints]]`` and ``[prices]`` of config.toml; patterns of models."""

from pathlib import Path

import pytest

from nanoclaw.config import HostConfig, load_config
from nanoclaw.errors import ConfigError
from nanoclaw.model_settings import matches, parse_price, read_patterns
from nanoclaw.vault.prices import SHIPPED, Tokens

FIRST = '[[endpoints]]\nname = "first"\nbase_url = "https://a.example/api/"\n'


def load(tmp_path: Path, text: str) -> HostConfig:
    (tmp_path / "config.toml").write_text(text)
    return load_config(home=tmp_path, environment={})


def test_endpoints_are_read_in_their_order(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        FIRST + '[[endpoints]]\nname = "local"\nbase_url = "http://127.0.0.1:8000"\n'
        'credential = "local-key"\nkey_header = "x-api-key"\nmodels = ["llama-*"]\n'
        'ca = "/etc/ca.pem"\n',
    )

    first, local = config.endpoints
    assert (first.name, first.base_url, first.credential) == (
        "first",
        "https://a.example/api",
        None,
    )
    assert (local.models, local.ca, local.key_header) == (("llama-*",), "/etc/ca.pem", "x-api-key")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[endpoints]]\nname = "A B"\nbase_url = "https://a"\n', "no. 1"),
        (FIRST + FIRST.replace("first", "second"), "no. 2 .* has no credential"),
        (FIRST + FIRST + 'credential = "x"\n', "taken by another"),
        (FIRST + 'url = "x"\n', "unknown key 'url'"),
        (FIRST + "models = 3\n", "models of"),
        (FIRST + 'models = ["a*b"]\n', "at most a \\*"),
        (FIRST + 'key_header = "cookie"\n', "key_header"),
        (FIRST + 'ca = "ca.pem"\n', "whole path"),
        (FIRST + 'credential = "../x"\n', "not the name of a secret"),
        (FIRST + "name_ = 1\n", "unknown key"),
        ('[[endpoints]]\nname = "a"\nbase_url = "ftp://a"\n', "base_url"),
        ('[[endpoints]]\nname = "a"\nbase_url = 5\n', "must be text"),
        ("endpoints = 5\n", "must be tables"),
        ("prices = 5\n", "must be tables"),
        ("[prices.opus]\ninput = 1\n", 'prices."opus".*input and output'),
        ("[prices.opus]\ninput = -1\noutput = 1\n", "dollars per million"),
        ("[prices.opus]\ninput = 1\noutput = 1\nthinking = 3\n", "unknown key 'thinking'"),
        ("[prices.opus]\ninput = 1\noutput = 1\nabove = {input = 2}\n", "promptTokens"),
    ],
)
def test_broken_table_names_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        load(tmp_path, text)

    assert "config.toml" in str(caught.value)


def test_configured_price_wins_and_the_longest_name_wins(tmp_path: Path) -> None:
    config = load(tmp_path, '[prices."claude-opus-5"]\ninput = 1\noutput = 2\nread = 0\n')
    prices = SHIPPED.with_overrides(config.prices)

    assert prices.cost_of("claude-opus-5-20261001", Tokens(1_000_000, 1_000_000)) == 3_000_000
    assert prices.cost_of("claude-opus-5-5", Tokens(input=1_000_000)) == 4_000_000
    assert prices.cost_of("claude-opus-5", Tokens(read=1_000_000)) == 0


def test_long_prompt_has_its_own_price() -> None:
    entry = {"input": 1, "output": 1, "above": {"promptTokens": 1000, "input": 2, "output": 3}}
    prices = SHIPPED.with_overrides({"m": entry})

    assert prices.cost_of("m", Tokens(input=1000)) == 1000
    assert prices.cost_of("m", Tokens(input=1001, output=1)) == 2002 + 3


def test_unreadable_price_of_an_agent_leaves_the_shipped_one() -> None:
    prices = SHIPPED.with_overrides({"claude-opus-5": {"input": "free"}})

    assert prices.price_of("claude-opus-5") == SHIPPED.price_of("claude-opus-5")


def test_price_of_a_known_model_may_be_changed_in_part() -> None:
    known = SHIPPED.price_of("claude-opus-5")

    assert parse_price({"output": 1}, known).input == known.input


def test_patterns_are_names_or_beginnings() -> None:
    assert matches("claude-opus-*", "claude-opus-5")
    assert not matches("claude-opus", "claude-opus-5")
    assert matches("*", "anything")
    with pytest.raises(ValueError, match="names of models"):
        read_patterns(["a b"])
