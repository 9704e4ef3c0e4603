"""``nanoclaw disk`` on a home with links, sparse files and old logs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.backup_room import ROOT, Room

from nanoclaw.disk.usage import measure
from nanoclaw.paths import HostPaths


@pytest.fixture
def home(tmp_path: Path) -> Path:
    room = Room(tmp_path)
    room.close()
    return room.paths.home


def run_disk(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nanoclaw", "disk", *words, "--home", str(home)],
        capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_links_are_not_followed_and_holes_are_not_counted(home: Path, tmp_path: Path) -> None:
    before = measure(HostPaths(home)).total
    (tmp_path / "outside").write_bytes(b"x" * 1_000_000)
    (home / "groups" / "link").symlink_to(tmp_path)
    with (home / "groups" / "sparse").open("wb") as file:
        file.truncate(1_000_000_000)

    usage = measure(HostPaths(home))

    assert usage.total - before < 100_000
    assert usage.complete


def test_the_command_shows_parts_and_groups(home: Path) -> None:
    shown = json.loads(run_disk(home, "--json").stdout)

    assert {"database", "sessions", "agents' folders"} <= {part["name"] for part in shown["parts"]}
    assert len(shown["groups"]) == 1
    assert shown["limits"]["backup_keep"] == "7,4,6"
    assert "in force:" in run_disk(home).stdout


def test_clean_says_first_and_takes_only_old_logs(home: Path) -> None:
    old, new = home / "logs" / "sessions" / "a.log", home / "logs" / "sessions" / "b.log"
    old.write_text("")
    new.write_text("")
    os.utime(old, (0, 0))

    assert str(old) in run_disk(home, "clean", "--dry-run").stdout
    assert run_disk(home, "clean").returncode == 2
    assert old.exists()

    assert run_disk(home, "clean", "--yes").returncode == 0
    assert (old.exists(), new.exists()) == (False, True)
