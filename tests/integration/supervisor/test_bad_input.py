"""What keeps ``nanoclaw run`` from starting: one clear line each, and an exit code that tells a
service manager whether another try makes sense."""

import ctypes
import functools
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from helpers.host import ROOT, Host, small_host

CONFIG, TEMPFAIL = 78, 75
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1


def run_host(
    home: Path,
    *flags: str,
    prefix: Sequence[str] = (),
    before: Callable[[], None] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return subprocess.run(
        [*prefix, sys.executable, "-m", "nanoclaw", "run", "--home", str(home), *flags],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=before,
    )


def drop_override() -> None:
    """Makes root obey file modes like everybody else, so that the tests mean the same."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def assert_one_line(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    lines = [line for line in result.stderr.splitlines() if line.startswith("nanoclaw: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]
    assert result.returncode == code


def folder_state(folder: Path) -> dict[str, tuple[int, int]]:
    facts = ((path, path.stat()) for path in folder.iterdir())
    return {path.name: (stat.st_size, stat.st_mtime_ns) for path, stat in facts}


def test_newer_database_is_refused_with_versions_and_way_back_and_not_touched(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "v2.db"
    with sqlite3.connect(database) as conn:
        conn.execute("CREATE TABLE future (x)")
        conn.execute("PRAGMA user_version = 9999")
    conn.close()
    before = database.read_bytes()

    result = run_host(tmp_path)

    assert_one_line(result, CONFIG, "v2.db", "newer", "9999", "restore")
    assert database.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\0" * 5000])
def test_unreadable_database_is_refused_and_not_touched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "v2.db"
    database.write_bytes(content)

    result = run_host(tmp_path)

    assert_one_line(result, CONFIG, "v2.db", "restore")
    assert database.read_bytes() == content


def test_database_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "v2.db").mkdir(parents=True)

    assert_one_line(run_host(tmp_path), CONFIG, "v2.db")


def test_broken_key_of_the_config_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('log_levle = "info"')

    assert_one_line(run_host(tmp_path), CONFIG, "log_levle", "config.toml", "log_level")


def test_broken_value_on_the_command_line_is_named(tmp_path: Path) -> None:
    result = run_host(tmp_path, "--max-running", "none")

    assert_one_line(result, CONFIG, "--max-running", "none", "command line")


def test_broken_value_in_the_environment_is_named(tmp_path: Path) -> None:
    result = run_host(tmp_path, LOG_LEVEL="loud")

    assert_one_line(result, CONFIG, "LOG_LEVEL", "loud", "environment")


def test_second_host_on_the_same_home_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as first:
        assert first.process is not None
        before = first.pids()

        result = run_host(tmp_path)

        assert_one_line(result, CONFIG, f"pid {first.process.pid}", str(tmp_path), "--home")
        assert first.pids() == before
        assert first.process.poll() is None


@pytest.mark.parametrize("folder", [".", "run", "data", "logs"])
def test_folder_without_the_right_to_write_is_named(tmp_path: Path, folder: str) -> None:
    for name in ("run", "data", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
    locked = tmp_path / folder
    locked.chmod(0o500)
    try:
        result = run_host(tmp_path, before=drop_override)
    finally:
        locked.chmod(0o700)

    assert_one_line(result, CONFIG, str(tmp_path))


def test_database_without_the_right_to_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "v2.db"
    database.touch(mode=0o000)

    result = run_host(tmp_path, before=drop_override)

    assert_one_line(result, CONFIG, "v2.db", "rights")


def test_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert_one_line(run_host(tmp_path / "file" / "home"), CONFIG, "file", "--home")


@functools.cache
def can_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    trial = [unshare, "--user", "--map-root-user", "--mount", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def small_disk(folder: Path, size: str, options: str = "rw") -> tuple[str, ...]:
    """A prefix for a command that sees ``folder`` as a disk of its own."""
    mount = f'mount -t tmpfs -o size={size},mode=0700 none "$0"'
    again = f'mount -o remount,{options} "$0"'
    shell = ("sh", "-c", f'{mount} && {again} && exec "$@"', str(folder))
    return ("unshare", "--user", "--map-root-user", "--mount", *shell)


def test_full_disk_is_a_reason_to_try_later(tmp_path: Path) -> None:
    if can_mount():
        result = run_host(tmp_path, prefix=small_disk(tmp_path, "64k"))
        assert_one_line(result, TEMPFAIL, "full")
    else:  # the nearest thing without rights to mount: no file may grow
        result = run_host(tmp_path, prefix=("prlimit", "--fsize=16384"))
        assert_one_line(result, TEMPFAIL, "disk")


def test_read_only_home_is_refused(tmp_path: Path) -> None:
    if can_mount():
        result = run_host(tmp_path, prefix=small_disk(tmp_path, "1m", "ro"))
    else:
        result = run_host(Path("/proc/nanoclaw"))

    assert_one_line(result, CONFIG, "--home")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Socket paths are short; pytest's folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="nc-"))
    yield folder
    shutil.rmtree(folder)


def test_home_too_deep_for_a_socket_uses_the_runtime_folder(
    tmp_path: Path, short_folder: Path
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(os.fsencode(deep)) > 108

    with Host(deep, environment={"XDG_RUNTIME_DIR": str(short_folder)}):
        (found,) = short_folder.glob("nanoclaw-*-ncl.sock")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(found))


def test_socket_folder_that_belongs_to_another_user_is_refused(
    tmp_path: Path, short_folder: Path
) -> None:
    foreign, owner = Path("/"), 0
    if os.geteuid() == 0:
        foreign, owner = short_folder, 12345
        os.chown(foreign, owner, owner)

    result = run_host(tmp_path / ("d" * 100), XDG_RUNTIME_DIR=str(foreign))

    assert_one_line(result, CONFIG, f"belongs to user id {owner}")
