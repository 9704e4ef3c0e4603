"""Limits of agents with a real sweep: places per group, used-up disk, words about deaths."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.engine import SweepProcess
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import agent_groups, limits
from nanoclaw.db.container_configs import ContainerConfigChange


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with SweepProcess(tmp_path, max_running="4") as made:
        yield made


def test_group_has_no_more_containers_than_it_may(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(max_containers=1))
    first, second = sweep.new_session(), sweep.new_session()
    first.write("m1", "one")
    second.write("m2", "two")
    sweep.start()

    wait_until(lambda: first.texts() + second.texts(), what="one of them answers")
    assert not (first.row().is_running and second.row().is_running)
    wait_until(lambda: first.texts() and second.texts(), within=20, what="the other one follows")


def test_agent_that_fills_the_disk_is_stopped_and_its_chat_told(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(disk_mb=16))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    big = sweep.paths.groups / "main" / "big.bin"
    big.write_bytes(b"x" * 20 * 1024 * 1024)

    session.wait_until_stopped(within=30)

    (told,) = sweep.deliveries()
    assert "20 MB, more than the 16 MB" in told
    assert "main/big.bin" in told
    assert "--disk-mb 32" in told


def test_full_agent_starts_again_only_when_there_is_room(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(disk_mb=16))
    session = sweep.new_session()
    big = sweep.paths.groups / "main" / "big.bin"
    big.parent.mkdir(parents=True, exist_ok=True)
    big.write_bytes(b"x" * 20 * 1024 * 1024)
    with sweep.database() as conn:
        assert agent_groups.list_all(conn)
        limits.note_excess(conn, session.id, 20 * 1024 * 1024, utc_now())
    sweep.start()
    session.ask("m1", "hello")
    wait_until(sweep.deliveries, what="the chat is told")
    assert "I cannot start" in sweep.deliveries()[0]
    assert not session.row().is_running

    big.unlink()

    session.wait_for_answer("You said: hello", within=40)
    assert len(sweep.deliveries()) == 1
