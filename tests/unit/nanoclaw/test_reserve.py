import os
from pathlib import Path

import pytest

from nanoclaw.reserve import LEAVE_FREE_BYTES, RESERVE_BYTES, Reserve

MIB = 1024 * 1024


class Disk:
    """Free space as a test wants it."""

    def __init__(self) -> None:
        self.free_bytes = LEAVE_FREE_BYTES + RESERVE_BYTES


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()

    class Facts:
        f_frsize = 1

        @property
        def f_bavail(self) -> int:
            return disk.free_bytes

    monkeypatch.setattr(os, "statvfs", lambda _: Facts())
    return disk


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    return Reserve(tmp_path / "reserve")


@pytest.mark.usefixtures("disk")
def test_reserve_is_made_where_there_is_room(reserve: Reserve) -> None:
    reserve.take_if_roomy()

    assert reserve.path.stat().st_size == RESERVE_BYTES
    assert reserve.path.stat().st_blocks * 512 >= RESERVE_BYTES, "space must be really taken"
    assert list(reserve.path.parent.iterdir()) == [reserve.path]
    reserve.path.unlink()


def test_small_disk_gets_no_reserve(reserve: Reserve, disk: Disk) -> None:
    disk.free_bytes -= 1

    reserve.take_if_roomy()

    assert not reserve.path.exists()


def test_reserve_is_given_back_when_hardly_any_space_is_left(reserve: Reserve, disk: Disk) -> None:
    reserve.path.write_bytes(b"x" * 1000)

    disk.free_bytes = 32 * MIB
    reserve.give_back_if_full()
    assert reserve.path.stat().st_size == 1000

    disk.free_bytes -= 1
    reserve.give_back_if_full()
    assert reserve.path.stat().st_size == 0


def test_reserve_that_was_given_back_is_made_again_at_the_next_start(
    reserve: Reserve, disk: Disk
) -> None:
    reserve.path.touch()

    disk.free_bytes *= 2
    reserve.take_if_roomy()

    assert reserve.path.stat().st_size == RESERVE_BYTES
    reserve.path.unlink()


def test_missing_folder_is_no_error(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "gone" / "reserve")

    reserve.give_back_if_full()
    reserve.take_if_roomy()

    assert not reserve.path.exists()
