"""Every process of the tree is killed once; the others must not notice, or go with it."""

import os
import signal
from pathlib import Path

import pytest
from helpers.host import small_host
from helpers.waiting import wait_until


@pytest.mark.parametrize("name", ["channel:one", "router", "delivery"])
def test_killed_child_is_restarted_and_the_others_are_left_alone(tmp_path: Path, name: str) -> None:
    with small_host(tmp_path, "good") as host:
        before = host.pids()

        host.kill_child(name)
        host.wait_for_recovery(name, before[name])

        others = {key: pid for key, pid in host.pids().items() if key != name}
        assert others == {key: pid for key, pid in before.items() if key != name}
        assert host.child(name).restarts == 1
        assert host.child(name).last_exit == "killed by SIGKILL"


@pytest.mark.parametrize("table", ["good", "busy"])
def test_every_child_dies_with_a_killed_supervisor(tmp_path: Path, table: str) -> None:
    with small_host(tmp_path, table) as host:
        assert len(host.living()) > len(host.pids())

        host.kill()

        wait_until(lambda: not host.living(), what="the whole tree is gone")


def test_next_host_starts_on_the_home_of_a_killed_one(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as first:
        first.kill()

        with small_host(tmp_path, "good") as second:
            assert len(second.pids()) == 3
            leftovers = list(second.paths.run.glob("pymp-*"))
            assert len(leftovers) == 1, "the folder of the killed host is still there"


def test_tree_recovers_from_a_killed_forkserver(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        before = host.pids()
        forkserver_pid = host.forkserver_pid()

        os.kill(forkserver_pid, signal.SIGKILL)

        for name, pid in before.items():
            host.wait_for_recovery(name, pid)
        assert not set(before.values()) & set(host.pids().values())
        assert host.forkserver_pid() != forkserver_pid
        assert host.process is not None
        assert host.process.poll() is None


def test_forkserver_survives_a_signal_meant_for_the_supervisor(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        before = host.pids()

        os.kill(host.forkserver_pid(), signal.SIGTERM)
        killed = host.kill_child("router")
        host.wait_for_recovery("router", killed)

        assert host.pids()["delivery"] == before["delivery"]


def test_supervisor_that_fails_takes_its_children_along(tmp_path: Path) -> None:
    host = small_host(tmp_path, "unpicklable")
    try:
        host.spawn()

        assert host.wait() == 1
        assert "PicklingError" in host.error_output()
        assert not host.living()
    finally:
        host.stop()
