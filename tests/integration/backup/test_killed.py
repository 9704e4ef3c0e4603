"""A create or restore that is killed at any step: the old or the new, whole."""

import signal
from pathlib import Path

import pytest
from helpers.backup_room import Room, run_backup
from helpers.kill_points import KillFolder

from nanoclaw import switchover
from nanoclaw.backup import catalog

BEFORE = ("backup.unpacked", "backup.prepared")
AFTER = ("backup.decided", "backup.moved_aside", "backup.moved_in", "backup.switched")


@pytest.fixture
def kills(tmp_path: Path) -> KillFolder:
    folder = tmp_path / "kills"
    folder.mkdir()
    return KillFolder(folder)


@pytest.mark.parametrize(("point", "listed"), [("backup.written", 0), ("backup.placed", 1)])
def test_a_killed_create_shows_nothing_half(
    room: Room, kills: KillFolder, point: str, listed: int
) -> None:
    kills.arm(point, "self")

    done = run_backup(room.config, "create", kill=kills.path)

    assert done.returncode == -signal.SIGKILL
    found = catalog.entries(room.paths.backups)
    assert [entry.manifest is not None for entry in found] == [True] * listed
    assert run_backup(room.config, "create").returncode == 0
    assert list(room.paths.backups.glob(".creating-*")) == []


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_a_killed_restore_leaves_the_old_or_the_new(
    room: Room, kills: KillFolder, point: str
) -> None:
    made = room.back_up()
    (room.group / "memory.md").write_text("newer")
    marker = room.paths.data / "newer"
    marker.write_text("")
    room.close()
    kills.arm(point, "self")

    done = run_backup(room.config, "restore", str(made.path), "--yes", kill=kills.path)

    assert done.returncode == -signal.SIGKILL
    assert kills.was_reached(point)
    switchover.finish(room.paths)  # what the next start does first
    is_new = point in AFTER
    assert (room.group / "memory.md").read_text() == ("remember" if is_new else "newer")
    assert marker.exists() is not is_new
    again = run_backup(room.config, "restore", str(made.path), "--yes")
    assert again.returncode == 0, again.stderr
    assert not marker.exists()
