"""The vault's settings, read with all the others."""

from pathlib import Path

import pytest

from nanoclaw.config import DEFAULT_BASE_URL, KeyHeader, load_config
from nanoclaw.errors import ConfigError


def test_address_and_header_have_their_defaults(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={})

    assert config.anthropic_base_url == DEFAULT_BASE_URL
    assert config.anthropic_key_header is KeyHeader.AUTHORIZATION


def test_address_is_read_from_the_file_and_loses_its_last_slash(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'anthropic_base_url = "http://127.0.0.1:8080/api/"\nanthropic_key_header = "X-API-Key"\n'
    )

    config = load_config(home=tmp_path, environment={})

    assert config.anthropic_base_url == "http://127.0.0.1:8080/api"
    assert config.anthropic_key_header is KeyHeader.X_API_KEY


@pytest.mark.parametrize(
    "address",
    ["ftp://x", "api.anthropic.com", "https://", "https://a:b@x", "https://x?y", "https://x:no",
     "https://x:99999", "https://ü.example", "https://x/a b", "https://x/\x7f"],
)  # fmt: skip
def test_address_that_cannot_be_one_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="ANTHROPIC_BASE_URL"):
        load_config(home=tmp_path, environment={"ANTHROPIC_BASE_URL": address})


def test_key_file_counts_as_a_key(tmp_path: Path) -> None:
    assert not load_config(home=tmp_path, environment={}).model_key_present

    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "anthropic-auth-token").touch()

    assert load_config(home=tmp_path, environment={}).model_key_present
