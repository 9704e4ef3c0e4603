import os
import stat
from pathlib import Path

import pytest

from contract.clock import utc_now
from runner.tools import spool as module
from runner.tools.spool import CLEAN_FILES, KEEP_SECONDS, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def age(path: Path, seconds: float) -> None:
    then = utc_now().timestamp() - seconds
    os.utime(path, (then, then))


def clean(spool: Spool) -> None:
    for _ in range(CLEAN_FILES + 1):
        spool.new_path()


def test_what_is_kept_is_for_nobody_else(spool: Spool) -> None:
    path = spool.keep(b"text", ".txt")

    assert path is not None
    assert path.read_bytes() == b"text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700


def test_old_files_go_and_what_is_written_to_stays(spool: Spool) -> None:
    paths = [spool.keep(b"x", ".txt") for _ in range(3)]
    old, held, new = (path for path in paths if path is not None)
    age(old, KEEP_SECONDS + 60)
    age(held, KEEP_SECONDS + 60)
    spool.hold(held)

    clean(spool)

    assert (old.exists(), held.exists(), new.exists()) == (False, True, True)
    spool.let_go(held)
    clean(spool)
    assert not held.exists()


def test_the_oldest_go_until_the_rest_fits(spool: Spool) -> None:
    paths = []
    for number in range(5):
        path = spool.keep(b"x", ".txt")
        assert path is not None
        os.truncate(path, 45 * 1024 * 1024)  # sparse
        age(path, 100 - number)
        paths.append(path)

    clean(spool)

    assert [path.exists() for path in paths] == [False, True, True, True, True]


def test_what_does_not_belong_there_does_not_stop_the_cleaning(spool: Spool) -> None:
    old = spool.keep(b"x", ".txt")
    assert old is not None
    (spool.folder / "folder").mkdir()
    (spool.folder / "link").symlink_to("nowhere")
    for path in (old, spool.folder / "folder"):
        age(path, KEEP_SECONDS + 60)

    clean(spool)

    assert not old.exists()
    assert (spool.folder / "folder").is_dir()


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")

    assert Spool(tmp_path / "spool").keep(b"x", ".txt") is None


def test_one_file_has_a_limit(spool: Spool) -> None:
    path = spool.keep(b"x" * (module.MAX_FILE_BYTES + 1), ".txt")

    assert path is not None
    assert path.stat().st_size == module.MAX_FILE_BYTES
