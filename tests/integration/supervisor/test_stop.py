"""The orderly stop: phases, limits, and the second signal."""

import os
import signal
from pathlib import Path

import pytest
from helpers.host import small_host
from helpers.waiting import wait_until

from nanoclaw.supervise.status import read_status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stop_signal_ends_all_children_and_returns_zero(tmp_path: Path, number: int) -> None:
    with small_host(tmp_path, "good") as host:
        assert host.process is not None
        host.process.send_signal(number)

        assert host.wait() == 0
        assert not host.living()
        status = read_status(host.paths.status_file)
        assert status is not None
        assert status.state == "stopped"
        assert {child.state for child in status.children} == {"stopped"}


def test_intake_has_ended_before_the_workers_are_told_to_stop(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        assert host.stop() == 0

        def stopped_at(child: str) -> float:
            line = (host.paths.run / f"{child}.events").read_text().splitlines()[-1]
            assert line.endswith("stopped")
            return float(line.split()[0])

        assert max(stopped_at("channel-one"), stopped_at("router")) < stopped_at("delivery")


def test_child_that_ignores_the_signal_is_killed_after_its_limit(tmp_path: Path) -> None:
    with small_host(tmp_path, "deaf") as host:
        assert host.stop() == 0

        assert not host.living()
        assert "child killed after its time limit child=deaf" in host.log()


def test_second_signal_kills_what_is_left(tmp_path: Path) -> None:
    with small_host(tmp_path, "stubborn") as host:
        assert host.process is not None
        host.process.terminate()
        wait_until(lambda: host.child("stubborn").state == "stopping")
        host.process.terminate()

        assert host.wait() == 0
        assert not host.living()


def test_terminal_interrupt_reaches_the_children_through_the_supervisor_only(
    tmp_path: Path,
) -> None:
    with small_host(tmp_path, "good") as host:
        assert host.process is not None
        group = os.getpgid(host.process.pid)

        assert all(os.getpgid(pid) != group for pid in host.pids().values())
