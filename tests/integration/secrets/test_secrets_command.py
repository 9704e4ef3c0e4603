"""``nanoclaw secrets`` as people and scripts use it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.kill_points import ROOT, KillFolder

from contract.clock import utc_now
from nanoclaw.config import HostConfig, SecretsBackend
from nanoclaw.secret_store.entries import SecretError
from nanoclaw.secret_store.store import SecretStore

MARK = "sk-ant-api03-Zq8wX2mN5pLr7TvB9cDf3GhJ6k"
OTHER = "sk-ant-api03-Hn4vC8xQ1zWb6YtR2mKd9SfP5j"


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    made, conn = make_home(tmp_path)
    conn.close()
    return made


def run(
    config: HostConfig, *words: str, given: str = "", kill_dir: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    if kill_dir is not None:
        environment["NANOCLAW_KILL_DIR"] = str(kill_dir)
    return subprocess.run(
        [sys.executable, "-m", "nanoclaw", "secrets", *words, "--home", str(config.home)],
        input=given, capture_output=True, text=True, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip


def kinds(config: HostConfig) -> list[str]:
    conn = sqlite3.connect(config.paths.central_db)
    try:
        rows = conn.execute("SELECT kind FROM audit WHERE kind LIKE 'secret.%' ORDER BY seq")
        return [row[0] for row in rows]
    finally:
        conn.close()


def test_secret_is_kept_listed_replaced_and_removed(config: HostConfig) -> None:
    assert run(config, "set", "github-token", given=f"{MARK}\n").returncode == 0
    path = config.paths.secrets / "github-token"
    assert path.read_text() == f"{MARK}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    (row,) = json.loads(run(config, "list", "--json").stdout)
    assert (row["name"], row["kind"], row["problem"]) == ("github-token", "auth-token", None)

    assert run(config, "rotate", "github-token", given=OTHER).returncode == 0
    assert path.read_text() == f"{OTHER}\n"
    assert run(config, "rm", "github-token").returncode != 0, "nobody was asked"
    assert run(config, "rm", "github-token", "--yes").returncode == 0

    assert not path.exists()
    assert kinds(config) == ["secret.set", "secret.rotate", "secret.rm"]


def test_no_output_and_no_file_but_its_own_holds_a_value(config: HostConfig) -> None:
    answers = [
        run(config, "set", "one-key", given=MARK),
        run(config, "list"),
        run(config, "list", "--json"),
        run(config, "set", "one-key", MARK),
        run(config, "set", f"--value={MARK}", "one-key"),
        run(config, "set", MARK),
        run(config, "set", "one-key", "--kind", MARK),
        run(config, "rotate", "one-key", given=f"{MARK}\n{MARK}"),
        run(config, "rotate", "nowhere", given=MARK),
        run(config, "rm", MARK, "--yes"),
    ]

    said = "".join(answer.stdout + answer.stderr for answer in answers)
    assert MARK not in said
    assert "Traceback" not in said
    holders = [
        path
        for path in config.home.rglob("*")
        if path.is_file() and MARK.encode() in path.read_bytes()
    ]
    assert holders == [config.paths.secrets / "one-key"]


def test_value_as_a_word_is_refused_with_the_safe_way(config: HostConfig) -> None:
    answer = run(config, "set", "one-key", MARK)

    assert answer.returncode == 2
    assert "history" in answer.stderr
    assert "--from-file" in answer.stderr
    assert not (config.paths.secrets / "one-key").exists()


@pytest.mark.parametrize("given", ["", "\n", "two\nlines", "a\x00b", "x" * 20_000, " blank "])
def test_bad_value_is_refused_and_the_old_one_stays(config: HostConfig, given: str) -> None:
    run(config, "set", "one-key", given=MARK)

    assert run(config, "rotate", "one-key", given=given).returncode != 0

    assert (config.paths.secrets / "one-key").read_text() == f"{MARK}\n"


def test_default_key_in_use_is_removed_by_force_only(config: HostConfig) -> None:
    run(config, "set", "anthropic-api-key", given=MARK)

    refused = run(config, "rm", "anthropic-api-key", "--yes")

    assert refused.returncode != 0
    assert "model (default)" in refused.stderr
    assert run(config, "rm", "anthropic-api-key", "--yes", "--force").returncode == 0


def test_weak_secret_is_kept_with_a_warning(config: HostConfig) -> None:
    answer = run(config, "set", "wifi", given="password1")

    assert answer.returncode == 0
    assert "leak guard does not look for wifi" in answer.stderr


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("secrets.recorded", ("rotate", "one-key")),
        ("secrets.stored", ("rotate", "one-key")),
        ("secrets.removed", ("rm", "one-key", "--yes")),
    ],
)
def test_killed_command_leaves_one_whole_value_or_none(
    config: HostConfig, tmp_path: Path, point: str, words: tuple[str, ...]
) -> None:
    run(config, "set", "one-key", given=MARK)
    folder = tmp_path / "kill"
    folder.mkdir()
    KillFolder(folder).arm(point, "self")

    killed = run(config, *words, given=OTHER, kill_dir=folder)

    assert killed.returncode == -signal.SIGKILL
    value = SecretStore(config.paths, SecretsBackend.FILES).get("one-key")
    assert value == {"secrets.recorded": MARK, "secrets.stored": OTHER}.get(point)
    assert run(config, "set", "one-key", given=MARK).returncode == 0
    assert [path.name for path in config.paths.secrets.iterdir() if path.name[:4] == ".new"] == []


def test_unsafe_files_are_listed_with_the_command_that_helps(config: HostConfig) -> None:
    secrets = config.paths.secrets
    (secrets / "open-key").write_text(MARK)
    (secrets / "open-key").chmod(0o644)
    (secrets / "linked-key").symlink_to(secrets / "open-key")
    store = SecretStore(config.paths, SecretsBackend.FILES)

    problems = {info.name: info.problem or "" for info in store.list()}

    assert f"chmod 600 {secrets / 'open-key'}" in problems["open-key"]
    assert "link" in problems["linked-key"]
    with pytest.raises(SecretError, match="link"):
        store.get("linked-key")


def test_folder_that_others_can_enter_is_refused(config: HostConfig) -> None:
    config.paths.secrets.chmod(0o755)
    store = SecretStore(config.paths, SecretsBackend.FILES)

    with pytest.raises(SecretError, match="chmod 700"):
        store.put("one-key", MARK, None, utc_now())
