"""Tokens that end: renewed early and once, stored before use, and told when they are over."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from urllib.parse import parse_qs

import pytest
from helpers.kill_points import KillFolder
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import Call, FakeUpstream

from contract.clock import utc_now
from nanoclaw.db import container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.vault.oauth import parse_tokens

NAME = "family-oauth"


@pytest.fixture
def tokens() -> Iterator[FakeUpstream]:
    """The address that renews."""

    def play(call: Call) -> None:
        number = len(call.upstream.seen)
        call.whole(
            json.dumps(
                {"access_token": f"at-{number}", "refresh_token": f"rt-{number}", "expires_in": 900}
            ).encode()
        )

    with FakeUpstream(play) as made:
        yield made


def sign_in(vault: VaultProcess, tokens: FakeUpstream, seconds: float) -> None:
    secret = {
        "access_token": "at-0", "refresh_token": "rt-0",
        "expires_at": utc_now().timestamp() + seconds,
        "token_url": f"{tokens.url}/token", "client_id": "us", "scope": "all",
    }  # fmt: skip
    vault.key(json.dumps(secret), name=NAME)
    with vault.database() as conn:
        (config, *_) = container_configs.list_all(conn)
        change = ContainerConfigChange(credential=NAME)
        container_configs.update(conn, config.agent_group_id, change, utc_now())


def stored(vault: VaultProcess) -> tuple[str, str]:
    found = parse_tokens((vault.paths.secrets / NAME).read_text())
    return found.access, found.refresh


def test_token_with_time_left_is_used_as_it_is(
    vault: VaultProcess, upstream: FakeUpstream, tokens: FakeUpstream
) -> None:
    sign_in(vault, tokens, 3600)
    vault.start()

    assert vault.new_door().ask().status == 200
    assert upstream.seen[0].headers["authorization"] == "Bearer at-0"
    assert tokens.seen == []


def test_token_that_ends_soon_is_renewed_once_for_all_who_wait(
    vault: VaultProcess, upstream: FakeUpstream, tokens: FakeUpstream
) -> None:
    sign_in(vault, tokens, 100)
    vault.start()
    door = vault.new_door()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: door.ask().status, range(8)))

    assert answers == [200] * 8
    assert {seen.headers["authorization"] for seen in upstream.seen} == {"Bearer at-1"}
    (renewal,) = tokens.seen
    assert parse_qs(renewal.body.decode())["refresh_token"] == ["rt-0"]
    assert stored(vault) == ("at-1", "rt-1")
    assert json.loads((vault.paths.secrets / NAME).read_text())["scope"] == "all"
    assert "at-1" not in vault.log()


def test_failed_renewal_leaves_the_old_token_in_use_until_it_ends(
    vault: VaultProcess, upstream: FakeUpstream, tokens: FakeUpstream
) -> None:
    tokens.play = lambda call: call.whole(b'{"error": "invalid_grant"}', 400)
    sign_in(vault, tokens, 100)
    vault.start()
    door = vault.new_door()

    assert door.ask().status == 200
    sign_in(vault, tokens, -1)
    refused = door.ask()

    assert refused.status == 401
    assert f"nanoclaw secrets set {NAME}" in refused.error[1]
    assert "rt-0" not in refused.error[1]
    assert len(upstream.seen) == 1


def test_renewed_tokens_survive_a_vault_that_dies_before_it_uses_them(
    vault: VaultProcess, upstream: FakeUpstream, tokens: FakeUpstream
) -> None:
    kill = KillFolder(vault.home.parent / "kill")
    kill.path.mkdir()
    vault.environment = {"NANOCLAW_KILL_DIR": str(kill.path)}
    sign_in(vault, tokens, 100)
    vault.start()
    door = vault.new_door()
    kill.arm("vault.token_stored", "self")
    with suppress(OSError, HTTPException):
        door.ask()
    vault.wait_for_death()
    vault.start()

    assert door.ask().status == 200
    assert len(tokens.seen) == 1
    assert upstream.seen[0].headers["authorization"] == "Bearer at-1"


def test_token_of_a_subscription_is_refused_here_too(
    vault: VaultProcess, upstream: FakeUpstream, tokens: FakeUpstream
) -> None:
    sign_in(vault, tokens, 3600)
    path = vault.paths.secrets / NAME
    path.write_text(path.read_text().replace("at-0", "sk-ant-oat01-x"))
    vault.start()

    refused = vault.new_door().ask()

    assert refused.status == 401
    assert "subscription" in refused.error[1]
    assert upstream.seen == []
