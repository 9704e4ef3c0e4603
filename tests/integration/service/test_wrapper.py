"""The host without a service manager: the script really starts it, and it is really stopped."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.service_fakes import Fakes
from helpers.waiting import wait_until

from nanoclaw.config import HostConfig, load_config
from nanoclaw.service import actions, place
from nanoclaw.service.actions import Desk
from nanoclaw.service.kinds import Kind
from nanoclaw.service.shell import Shell
from nanoclaw.supervise.instance import running_host_pid

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    home = tmp_path / "a home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('runtime = "process"\nprovider = "scripted"\n')
    return load_config(home=home, environment={})


@pytest.fixture
def desk(tmp_path: Path, config: HostConfig) -> Iterator[Desk]:
    """A user's folder of its own, and no systemd."""
    machine = Fakes(tmp_path / "bin").machine(tmp_path / "ann", systemd_runs=False)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    made = place.Machine(
        Shell(environment), machine.user_home, False, "linux", systemd_runs=False, is_wsl=True
    )
    spec = place.make_spec(config.paths, (sys.executable, "-m", "nanoclaw"), made)
    yield Desk(config, spec, made, lambda _: None)
    pid = running_host_pid(config.paths)
    if pid:
        os.kill(pid, signal.SIGKILL)


def test_service_is_installed_restarted_stopped_and_removed(desk: Desk) -> None:
    installed = actions.install(desk)
    first = running_host_pid(desk.config.paths)

    assert installed.kind == Kind.NOHUP
    assert installed.running, installed
    assert any("wsl.conf" in note for note in installed.notes)
    assert int((desk.spec.home / "nanoclaw.pid").read_text()) == first
    assert actions.status(desk).running

    again = actions.install(desk)
    assert again.running
    assert not again.changed
    assert running_host_pid(desk.config.paths) == first

    restarted = actions.restart(desk)
    second = running_host_pid(desk.config.paths)
    assert restarted.running
    assert second not in (None, first)

    stopped = actions.stop(desk)
    assert not stopped.running
    assert running_host_pid(desk.config.paths) is None
    assert not actions.status(desk).running

    assert actions.start(desk).running
    removed = actions.uninstall(desk)
    assert removed.changed
    assert running_host_pid(desk.config.paths) is None
    assert desk.config.paths.central_db.exists()
    assert not (desk.spec.home / "start-nanoclaw.sh").exists()


def test_script_takes_over_from_a_running_host(desk: Desk) -> None:
    actions.install(desk)
    first = running_host_pid(desk.config.paths)

    done = desk.machine.shell.run(str(desk.spec.home / "start-nanoclaw.sh"))

    assert done.ok, done
    wait_until(
        lambda: running_host_pid(desk.config.paths) not in (None, 0, first),
        within=30,
        what="a new host runs",
    )


def test_script_leaves_a_foreign_process_with_the_recorded_number_alone(desk: Desk) -> None:
    actions.install(desk)
    actions.stop(desk)
    (desk.spec.home / "nanoclaw.pid").write_text(f"{os.getpid()}\n")

    started = actions.start(desk)

    assert started.running  # and this test is still here


def test_host_that_cannot_start_is_reported_with_its_reason(desk: Desk) -> None:
    (desk.spec.home / "config.toml").write_text('runtime = "nonsense"\n')

    result = actions.install(desk)

    assert not result.running
    assert any("nonsense" in line for line in result.error_lines)
