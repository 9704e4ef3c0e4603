"""The wizard as a program, without a terminal and killed at every step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.setup_pty import program_environment

MARKER = "sk-marker/secret+0123456789abcdef"
ALL = ["--name=Ada", "--colour=green"]


def run(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helpers.setup_program", *words],
        env=program_environment(home, **environment), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def journal(home: Path) -> list[str]:
    file = home / "journal"
    return file.read_text().splitlines() if file.exists() else []


def behave(home: Path, name: str) -> Path:
    (home / "behave").mkdir(parents=True, exist_ok=True)
    (home / "behave" / name).touch()
    return home / "behave" / name


def state(home: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((home / "data" / "setup-state.json").read_text())
    return read


def test_a_run_without_a_terminal_does_everything_and_ends_well(tmp_path: Path) -> None:
    ended = run(tmp_path, *ALL, "--non-interactive", NANOCLAW_TOKEN=MARKER)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert journal(tmp_path) == [
        "alpha apply", "alpha verify", "beta apply", "beta verify", "gamma apply", "gamma verify",
    ]  # fmt: skip
    assert (tmp_path / "beta.made").read_text() == "green"
    assert "\x1b" not in ended.stdout
    assert max(len(line) for line in ended.stdout.splitlines()) <= 80


def test_missing_answers_are_named_all_at_once_before_any_step(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ended = run(home)

    assert ended.returncode == 2
    assert "missing answer: --name (NANOCLAW_NAME)" in ended.stderr
    assert "missing answer: --token-file (NANOCLAW_TOKEN)" in ended.stderr
    assert "colour" not in ended.stderr
    assert not home.exists()


def test_no_secret_is_in_any_log_or_on_the_screen(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(MARKER + "\n")
    home = tmp_path / "home"
    behave(home, "beta.raise")
    failed = run(home, *ALL, f"--token-file={secret}")
    (home / "behave" / "beta.raise").unlink()
    behave(home, "beta.fail")
    again = run(home, *ALL, "--json", NANOCLAW_TOKEN=MARKER)
    (home / "behave" / "beta.fail").unlink()
    good = run(home, "--step", "beta", *ALL, NANOCLAW_TOKEN=MARKER)

    assert (failed.returncode, again.returncode, good.returncode) == (1, 1, 0), good.stdout
    texts = [file.read_text() for file in home.rglob("*") if file.is_file()]
    texts += [out for ended in (failed, again, good) for out in (ended.stdout, ended.stderr)]
    assert not [text for text in texts if MARKER in text]
    assert any("calling with **** now" in text for text in texts)
    logs = [file for file in (home / "logs").rglob("*.log") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in logs} == {0o600}


def test_a_failed_step_ends_the_run_with_its_next_command(tmp_path: Path) -> None:
    behave(tmp_path, "beta.fail")
    ended = run(tmp_path, *ALL, NANOCLAW_TOKEN=MARKER)

    assert ended.returncode == 1
    assert "Next: unfail it" in ended.stdout
    assert "Go on with: nanoclaw setup" in ended.stdout
    assert "gamma apply" not in journal(tmp_path)
    assert "aborted at beta" in (tmp_path / "logs" / "setup.log").read_text()


def test_a_blocked_step_says_the_command_that_helps(tmp_path: Path) -> None:
    behave(tmp_path, "alpha.blocked")
    ended = run(tmp_path, *ALL, NANOCLAW_TOKEN=MARKER)

    assert ended.returncode == 1
    assert "run: unblock alpha" in ended.stdout
    assert journal(tmp_path) == []


def test_going_on_after_a_failure_does_not_repeat_what_is_done(tmp_path: Path) -> None:
    fails = behave(tmp_path, "gamma.fail")
    assert run(tmp_path, *ALL, NANOCLAW_TOKEN=MARKER).returncode == 1
    fails.unlink()
    before = len(journal(tmp_path))

    assert run(tmp_path).returncode == 0
    assert journal(tmp_path)[before:] == ["gamma apply", "gamma verify"]


def test_a_step_whose_facts_changed_is_proven_again(tmp_path: Path) -> None:
    assert run(tmp_path, *ALL, NANOCLAW_TOKEN=MARKER).returncode == 0
    before = len(journal(tmp_path))
    (tmp_path / "alpha.made").write_text("something longer")

    assert run(tmp_path).returncode == 0
    assert journal(tmp_path)[before:] == ["alpha verify"]


def test_skipping_a_needed_step_leaves_open_points(tmp_path: Path) -> None:
    ended = run(tmp_path, "--skip", "beta")

    assert ended.returncode == 3
    assert journal(tmp_path) == ["alpha apply", "alpha verify"]
    assert "needs beta" in ended.stdout


def test_only_and_redo_touch_one_step(tmp_path: Path) -> None:
    assert run(tmp_path, "--only", "alpha").returncode == 0
    assert run(tmp_path, "--only", "alpha").returncode == 0
    assert journal(tmp_path) == ["alpha apply", "alpha verify"]

    assert run(tmp_path, "--redo", "alpha").returncode == 0
    assert journal(tmp_path)[2:] == ["alpha apply", "alpha verify"]


def test_dry_run_and_check_change_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    dry, checked = run(home, "--dry-run"), run(home, "--check")

    assert (dry.returncode, checked.returncode) == (0, 3)
    assert "write alpha" in dry.stdout
    assert not home.exists()


def test_check_of_a_finished_home_is_in_order(tmp_path: Path) -> None:
    assert run(tmp_path, *ALL, NANOCLAW_TOKEN=MARKER).returncode == 0

    assert run(tmp_path, "--check").returncode == 0


def test_json_is_one_line_per_step_and_one_for_the_end(tmp_path: Path) -> None:
    ended = run(tmp_path, *ALL, "--json", NANOCLAW_TOKEN=MARKER)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]

    assert [line.get("step") for line in lines] == ["alpha", "beta", "gamma", None]
    assert lines[-1] == {"status": "finished", "exit": 0}


def test_one_step_for_a_program_ends_with_a_status_block(tmp_path: Path) -> None:
    ended = run(tmp_path, "--step", "alpha", "--")

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0] == "=== NANOCLAW SETUP: ALPHA ==="
    assert "STATUS: success" in ended.stdout


def test_an_unknown_step_is_answered_with_the_list(tmp_path: Path) -> None:
    ended = run(tmp_path, "--step", "omega")

    assert ended.returncode == 1
    assert "omega" in ended.stderr
    assert "alpha" in ended.stderr


@pytest.mark.parametrize("point", ["setup.started", "setup.applied", "setup.recorded"])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_killed_at_every_step_and_gone_on(tmp_path: Path, point: str, step: int) -> None:
    home, kills = tmp_path / "home", KillFolder(tmp_path / "kills")
    kills.path.mkdir()
    for name in ("alpha", "beta", "gamma")[:step]:
        assert run(home, "--only", name, *ALL, NANOCLAW_TOKEN=MARKER).returncode == 0
    kills.arm(point, "self")

    killed = run(home, *ALL, NANOCLAW_TOKEN=MARKER, NANOCLAW_KILL_DIR=str(kills.path))
    ended = run(home, *ALL, NANOCLAW_TOKEN=MARKER)

    assert killed.returncode == -9
    assert ended.returncode == 0, ended.stdout + ended.stderr
    applied = [line for line in journal(home) if line.endswith("apply")]
    assert applied == ["alpha apply", "beta apply", "gamma apply"]
    steps = state(home)["steps"]
    assert isinstance(steps, dict)
    assert {entry["status"] for entry in steps.values()} == {"success"}
    last_verified = {line.split()[0] for line in journal(home) if line.endswith("verify")}
    assert last_verified == {"alpha", "beta", "gamma"}


def test_the_real_steps_set_up_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for words in (["--only=environment"], ["--only=timezone", "--tz=Europe/Berlin"]):
        ended = subprocess.run(
            [sys.executable, "-m", "nanoclaw", "--home", str(home), "setup", *words],
            env=program_environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (home / "config.toml").read_text() == 'timezone = "Europe/Berlin"\n'
