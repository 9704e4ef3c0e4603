"""The same promises with the product's own children: the real table, the real command."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.host import Host
from helpers.waiting import wait_until

from nanoclaw.daemon import CHILDREN

NAMES = [spec.name for spec in CHILDREN if not spec.on_demand]


def test_every_child_of_the_product_comes_back_alone(tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        for name in NAMES:
            before = host.pids()

            host.kill_child(name)
            host.wait_for_recovery(name, before[name])

            others = {key: pid for key, pid in host.pids().items() if key != name}
            assert others == {key: pid for key, pid in before.items() if key != name}


def test_product_survives_its_forkserver_again_and_again(tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        for _ in range(3):
            before = host.pids()

            os.kill(host.forkserver_pid(), signal.SIGKILL)
            for name in NAMES:
                host.wait_for_recovery(name, before[name])

        assert host.stop() == 0


def test_product_stops_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        assert host.stop() == 0

        assert not host.living()
        assert "Traceback" not in host.log() + host.error_output()
        assert list(host.paths.run.glob("*.sock")) == []


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda host: host.paths.lock_file("host").exists(), id="lock taken"),
        pytest.param(lambda host: len(host.living()) > 1, id="forkserver started"),
        pytest.param(lambda host: host.pids(), id="first child started"),
        pytest.param(lambda host: len(host.pids()) == len(NAMES), id="last child started"),
    ],
)
def test_host_killed_while_it_starts_leaves_nothing_and_starts_again(
    tmp_path: Path, moment: Callable[[Host], object]
) -> None:
    host = Host(tmp_path)
    try:
        host.spawn()
        wait_until(lambda: moment(host), within=10)
        host.kill()
        wait_until(lambda: not host.living(), what="the whole tree is gone")
    finally:
        host.stop()

    with Host(tmp_path) as second:
        assert set(second.pids()) == set(NAMES)


def test_orderly_stop_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    try:
        host.spawn()
        wait_until(host.pids, within=10)
        assert host.process is not None
        host.process.terminate()

        assert host.wait() == 0
        assert not host.living()
    finally:
        host.stop()
