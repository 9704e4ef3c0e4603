"""A request that carries one of the owner's secrets does not leave."""

import base64
import http.client
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.vault_client import PROMPT
from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import FakeUpstream


def with_text(text: str) -> dict[str, object]:
    return {**PROMPT, "messages": [{"role": "user", "content": text}]}


def test_request_with_the_key_is_stopped_recorded_and_told_once(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    for text in (KEY, base64.b64encode(f"a {KEY}".encode()).decode()):
        answer = door.ask(with_text(f"what is {text}?"))
        assert answer.status == 403
        assert "nanoclaw secrets rotate anthropic-api-key" in answer.error[1]
        assert KEY not in answer.error[1]

    assert upstream.seen == []
    with vault.database() as conn:
        kinds = [row[0] for row in conn.execute("SELECT kind FROM audit WHERE kind LIKE 'leak%'")]
        (notice,) = [row[0] for row in conn.execute("SELECT text FROM owner_notices")]
        assert conn.execute("SELECT count(*) FROM usage").fetchone()[0] == 0
    assert kinds == ["leak.stopped", "leak.stopped"]
    assert "your secret anthropic-api-key" in notice
    assert KEY not in notice + vault.log()


def test_new_value_of_the_secret_lets_the_old_text_pass(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    assert door.ask(with_text(KEY)).status == 403

    vault.key("sk-ant-api03-another-9f8e7d6c5b4a")

    assert door.ask(with_text(KEY)).status == 200
    assert len(upstream.seen) == 1


def test_vault_killed_after_a_leak_was_recorded_has_told_the_owner(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    vault.environment["NANOCLAW_KILL_DIR"] = str(kill.path)
    vault.start()
    door = vault.new_door()
    kill.arm("vault.leak_recorded", "self")

    with pytest.raises((OSError, http.client.HTTPException)):
        door.ask(with_text(KEY))
    vault.wait_for_death()

    with vault.database() as conn:
        assert conn.execute("SELECT count(*) FROM owner_notices").fetchone()[0] == 1
    assert upstream.seen == []
