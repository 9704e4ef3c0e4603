"""Keys: where they are found, when they count, and that they are nowhere else."""

import json
import os
from pathlib import Path

from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import Call, FakeUpstream

OTHER_KEY = "sk-ant-api03-another-9f8e7d6c5b4a"


def sent_key(upstream: FakeUpstream) -> str:
    return upstream.seen[-1].headers["authorization"].removeprefix("Bearer ")


def test_changed_key_counts_with_the_next_request(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    door.ask()
    assert sent_key(upstream) == KEY

    vault.key(OTHER_KEY)
    door.ask()

    assert sent_key(upstream) == OTHER_KEY


def test_key_in_the_env_file_counts_and_a_file_of_its_own_wins(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    (vault.paths.secrets / "anthropic-api-key").unlink()
    vault.paths.env_file.write_text(f"ANTHROPIC_AUTH_TOKEN={OTHER_KEY}\n")
    vault.start()
    door = vault.new_door()

    door.ask()
    assert sent_key(upstream) == OTHER_KEY

    vault.key(KEY, name="anthropic-auth-token")
    door.ask()
    assert sent_key(upstream) == KEY


def test_missing_key_is_told_with_the_next_step_and_works_as_soon_as_it_is_there(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    path = vault.paths.secrets / "anthropic-api-key"
    path.unlink()
    vault.start()
    door = vault.new_door()

    answer = door.ask()

    assert answer.status == 401
    kind, text = answer.error
    assert kind == "authentication_error"
    assert str(path) in text
    assert upstream.seen == []
    vault.key()
    assert door.ask().status == 200


def test_key_that_others_can_read_is_refused_with_the_command_that_helps(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    path = vault.key(mode=0o644)
    vault.start()
    door = vault.new_door()

    answer = door.ask()
    assert answer.status == 401
    assert f"chmod 600 {path}" in answer.error[1]

    path.chmod(0o600)
    assert door.ask().status == 200


def test_subscription_token_is_recognised_and_refused_in_plain_words(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    path = vault.key("sk-ant-oat01-secret-part")
    vault.start()
    door = vault.new_door()

    answer = door.ask()
    assert answer.status == 401
    assert "subscription" in answer.error[1]
    assert "secret-part" not in answer.error[1]

    path.unlink()
    vault.paths.env_file.write_text("CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-secret-part\n")
    assert "subscription" in door.ask().error[1]
    assert upstream.seen == []


def test_key_is_found_nowhere_but_in_its_file(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.break_off()

    vault.settings(anthropic_base_url=upstream.url, log_level="debug")
    vault.start()
    door = vault.new_door()
    answers = [door.ask(), door.ask({"model": "x"}), door.ask(target="/v1/../secrets")]
    upstream.play = play
    door.say(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n")
    vault.settings(anthropic_base_url="http://127.0.0.1:9")
    pid = vault.process.pid if vault.process is not None else 0
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    vault.wait_for_settlement()
    vault.stop()

    holders = [
        path
        for folder, _, names in os.walk(tmp_path)
        for path in (Path(folder) / name for name in names)
        if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert holders == [vault.paths.secrets / "anthropic-api-key"]
    assert KEY.encode() not in environment + command
    assert KEY not in json.dumps([[a.headers, a.body.decode()] for a in answers])
    assert len(upstream.seen) >= 1
