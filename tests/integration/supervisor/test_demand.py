"""A child that is started with its first ring, and not before."""

from pathlib import Path

import pytest
from helpers.host import small_host
from helpers.waiting import wait_until

from nanoclaw.bell import VAULT, ring


@pytest.mark.parametrize("watch", ["", "polling"])
def test_child_on_demand_waits_for_its_bell(tmp_path: Path, watch: str) -> None:
    with small_host(tmp_path, "demand", NANOCLAW_WATCH=watch) as host:
        waiting = host.child("vault")
        assert (waiting.state, waiting.wanted, waiting.pid) == ("waiting", False, None)
        assert waiting.reason == "not needed yet"

        ring(host.paths, "good")
        ring(host.paths, VAULT)

        wait_until(lambda: host.child("vault").state == "running", within=10)
        assert host.child("good").restarts == 0


def test_child_on_demand_is_kept_from_then_on(tmp_path: Path) -> None:
    with small_host(tmp_path, "demand") as host:
        ring(host.paths, VAULT)
        wait_until(lambda: host.child("vault").state == "running", within=10)
        pid = host.pids()["vault"]

        host.kill_child("vault")
        host.wait_for_recovery("vault", pid)
        ring(host.paths, VAULT)

        assert host.child("vault").restarts == 1


def test_ring_of_an_earlier_host_starts_nothing(tmp_path: Path) -> None:
    with small_host(tmp_path, "demand") as first:
        ring(first.paths, VAULT)
        wait_until(lambda: first.child("vault").state == "running", within=10)
        assert first.stop() == 0

        with small_host(tmp_path, "demand") as second:
            assert second.child("vault").state == "waiting"
            assert second.stop() == 0
