"""How children come into being: both start methods, odd main modules, the child's lock."""

import fcntl
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.host import ROOT, Host, small_host
from helpers.small_children import good, misconfigured
from helpers.waiting import wait_until

from nanoclaw.config import HostConfig
from nanoclaw.supervise.child import ChildSpec, Entry, PredecessorError, hold_child_lock
from nanoclaw.supervise.report import Note, Ready, Reason, Report
from nanoclaw.supervise.worker_process import Launcher, Running


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    config = HostConfig(tmp_path)
    config.paths.ensure()
    return config


@pytest.fixture
def python_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find the modules of the tests the way this process does."""
    monkeypatch.setattr(sys, "path", [str(ROOT), str(ROOT / "tests"), *sys.path])


def reports_of(running: Running, count: int) -> list[Report]:
    received: list[Report] = []

    def enough() -> bool:
        received.extend(running.read_reports()[0])
        return len(received) >= count

    wait_until(enough, within=10)
    return received


def end_of(running: Running) -> int:
    def ended() -> bool:
        return running.exit_code() is not None

    wait_until(ended, within=10)
    code = running.exit_code()
    assert code is not None
    running.close()
    return code


def spawn(config: HostConfig, entry: Entry) -> Running:
    return Launcher(config, "", spawn=True).start(ChildSpec("child", entry))


@pytest.mark.usefixtures("python_path")
def test_spawned_child_reports_and_stops_like_a_forked_one(config: HostConfig) -> None:
    running = spawn(config, good)

    assert reports_of(running, 2) == [Note("watch", "inotify"), Ready()]
    running.process.terminate()
    assert end_of(running) == 0


@pytest.mark.usefixtures("python_path")
def test_spawned_child_tells_why_it_gives_up(config: HostConfig) -> None:
    running = spawn(config, misconfigured)

    assert reports_of(running, 1) == [Reason("the key tea_pot is missing; add it to config.toml")]
    assert end_of(running) == 78


def test_script_without_a_guard_does_not_start_a_host_in_every_child(tmp_path: Path) -> None:
    script = tmp_path / "start"
    script.write_text("import sys\nfrom helpers.small_host import main\nsys.exit(main())\n")
    with Host(tmp_path / "home", command=(sys.executable, str(script), "--table", "good")) as host:
        assert set(host.pids()) == {"channel:one", "router", "delivery"}
        assert host.log().count("host starting") == 1


def test_modules_in_the_folder_where_the_host_is_started_are_not_imported(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    for name in ("json", "gc", "zoneinfo", "sqlite3"):
        (planted / f"{name}.py").write_text("raise SystemExit('planted module imported')\n")
    script = (
        "import os, sys\nfrom helpers.small_host import main\n"
        f"os.chdir({str(planted)!r})\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    (tmp_path / "start.py").write_text(script)
    command = (sys.executable, str(tmp_path / "start.py"), "--table", "good")
    with Host(tmp_path / "home", command=command) as host:
        assert len(host.pids()) == 3


def test_children_get_the_users_python_path_back(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        events = (host.paths.run / "router.events").read_text()

        assert f" PYTHONPATH={host.environment()['PYTHONPATH']}\n" in events


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A home in here leaves room for a socket's path, however deep pytest's own folders are."""
    with tempfile.TemporaryDirectory(prefix="nc-", dir="/tmp") as name:
        yield Path(name)


def test_nothing_of_multiprocessing_stays_in_the_temporary_folder(
    tmp_path: Path, short_folder: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with small_host(short_folder / "home", "good", TMPDIR=str(temporary)) as host:
        assert list(temporary.iterdir()) == []
        assert len(list(host.paths.run.glob("pymp-*"))) == 1

    assert list(host.paths.run.glob("pymp-*")) == []


def test_child_lock_waits_for_a_predecessor_that_is_going_away(tmp_path: Path) -> None:
    path = tmp_path / "child.lock"
    first = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(first, fcntl.LOCK_EX)
    release = threading.Timer(0.1, os.close, (first,))
    release.start()

    second = hold_child_lock(path)

    release.join()
    assert path.read_text() == f"{os.getpid()}\n"
    os.close(second)


def test_child_lock_names_a_predecessor_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "child.lock"
    first = hold_child_lock(path)

    with pytest.raises(PredecessorError, match=f"child.lock .pid {os.getpid()}"):
        hold_child_lock(path, wait_seconds=0.05)

    os.close(first)


def test_tree_is_supervisor_forkserver_and_children(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        assert host.process is not None
        expected = {host.process.pid, host.forkserver_pid(), *host.pids().values()}

        assert set(host.living()) == expected
