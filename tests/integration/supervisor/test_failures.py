"""Children that fail by themselves: who is tried again, how often, and what the owner sees."""

from itertools import pairwise
from pathlib import Path

from helpers.host import Host, small_host
from helpers.waiting import wait_until


def event_times(host: Host, child: str, word: str) -> list[float]:
    lines = (host.paths.run / f"{child}.events").read_text().splitlines()
    return [float(line.split()[0]) for line in lines if line.split()[1] == word]


def wait_for_state(host: Host, child: str, state: str, within: float = 15) -> None:
    def reached() -> bool:
        status = host.status()
        found = status.child(child) if status is not None else None
        return found is not None and found.state == state

    wait_until(reached, within=within, what=f"{child} is {state}")


def test_child_with_a_wrong_setting_is_given_up_at_once_with_its_reason(tmp_path: Path) -> None:
    host = small_host(tmp_path, "misconfigured")
    try:
        host.spawn()
        wait_for_state(host, "broken", "fatal")
        wait_for_state(host, "good", "running")

        broken = host.child("broken")
        assert broken.reason == "the key tea_pot is missing; add it to config.toml"
        assert broken.last_exit == "exit code 78"
        assert broken.pid is None
        assert len(event_times(host, "broken", "started")) == 1
    finally:
        assert host.stop() == 0


def test_crash_loop_ends_fatal_after_growing_delays(tmp_path: Path) -> None:
    host = small_host(tmp_path, "crashing")
    try:
        host.spawn()
        wait_for_state(host, "broken", "fatal")

        starts = event_times(host, "broken", "started")
        assert len(starts) == 4
        assert host.child("broken").reason == "RuntimeError: the kettle is cold"
        assert host.child("broken").restarts == 3
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert gaps == sorted(gaps)
        assert "child given up child=broken" in host.log()
    finally:
        assert host.stop() == 0


def test_temporary_failure_is_tried_again_for_ever(tmp_path: Path) -> None:
    host = small_host(tmp_path, "retrying")
    try:
        host.spawn()
        wait_for_state(host, "good", "running")

        wait_until(lambda: len(event_times(host, "broken", "started")) > 5, within=10)

        assert host.child("broken").state != "fatal"
    finally:
        assert host.stop() == 0


def test_child_that_never_becomes_ready_is_killed_and_counted(tmp_path: Path) -> None:
    host = small_host(tmp_path, "never_ready")
    try:
        host.spawn()
        wait_for_state(host, "broken", "fatal")

        assert host.child("broken").last_exit == "killed by SIGKILL"
        assert host.child("broken").reason == "still starting after its time limit"
    finally:
        assert host.stop() == 0


def test_child_that_leaves_unasked_is_restarted(tmp_path: Path) -> None:
    host = small_host(tmp_path, "leaving")
    try:
        host.spawn()
        wait_for_state(host, "broken", "fatal")

        assert host.child("broken").reason == "exit code 0"
        assert host.child("good").state == "running"
    finally:
        assert host.stop() == 0


def test_next_attempt_is_shown_while_a_child_waits(tmp_path: Path) -> None:
    host = small_host(tmp_path, "retrying")
    try:
        host.spawn()
        wait_for_state(host, "broken", "backoff")

        wait_until(lambda: host.child("broken").next_attempt.endswith("Z"))
    finally:
        host.stop()
