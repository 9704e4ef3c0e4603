"""The sweep with real runners as child processes."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.engine import CHAT, SweepProcess
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.inbound.row import InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from nanoclaw.bell import SWEEP, ring
from nanoclaw.db import container_configs, sessions
from nanoclaw.db.container_configs import ContainerConfigChange

CRASH_ONCE = {"match": "crash", "times": 1, "steps": [{"exit": 3}]}
SLOW = {"match": "slow", "steps": [{"delay_ms": 1500}, {"say": "done: {text}"}]}
HANG = {"match": "hang", "steps": [{"hang": True}]}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with SweepProcess(tmp_path, max_running="4") as made:
        yield made


def starts(sweep: SweepProcess) -> int:
    return sweep.log().count("agent started")


def test_message_wakes_an_agent_that_answers(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()

    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")

    row = session.row()
    assert row.is_running
    assert row.lease_token == 1
    assert row.runtime_version == sweep.status()["code"]


def test_work_that_came_before_the_sweep_is_found_at_its_start(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    session.write("m1", "early")

    sweep.start()

    session.wait_for_answer("You said: early")


def test_hundred_wakes_start_one_agent(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.write("m1", "hello")

    sweep.wake(session.id, times=100)
    session.wait_for_answer("You said: hello")

    assert starts(sweep) == 1
    assert session.row().lease_token == 1


def test_session_due_later_starts_at_its_time_and_not_before(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    due = utc_now() + timedelta(seconds=1.5)
    new = NewInbound("t1", "task", utc_now(), dump({"prompt": "go"}), CHAT, process_after=due)
    with open_inbound(session.folder.inbound_db) as writer:
        writer.insert_message(new)
    with sweep.database() as conn:
        sessions.wake_at(conn, session.id, due)
    sweep.wake(session.id)

    session.wait_until_running()

    started_at = session.row().container_started_at
    assert started_at is not None
    assert started_at >= due
    wait_until(session.texts, what="the task is answered")


def test_message_that_crashed_its_agent_is_tried_again_and_answered(sweep: SweepProcess) -> None:
    sweep.script(CRASH_ONCE)
    session = sweep.new_session()
    sweep.start()

    session.ask("m1", "crash please")
    session.wait_for_answer("You said: crash please", within=20)

    assert session.message("m1").tries == 1
    assert session.texts() == ["You said: crash please"]


def test_other_messages_do_not_wait_for_a_crashing_one(sweep: SweepProcess) -> None:
    sweep.script({"match": "crash", "steps": [{"exit": 3}]})
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "crash please")
    wait_until(lambda: session.message("m1").tries == 1, within=10)

    session.ask("m2", "harmless")

    session.wait_for_answer("You said: harmless", within=4)


def test_message_that_keeps_crashing_is_given_up_and_its_chat_told(sweep: SweepProcess) -> None:
    sweep.script({"match": "crash", "steps": [{"exit": 3}]})
    session = sweep.new_session()
    session.write("m1", "crash please")
    with open_inbound(session.folder.inbound_db) as writer:
        for _ in range(5):
            writer.retry_later("m1", utc_now())
    sweep.start()

    wait_until(lambda: session.message("m1").status is InboundStatus.FAILED, within=10)
    wait_until(sweep.deliveries, what="the chat is told")

    assert "6 times" in sweep.deliveries()[0]
    session.wait_until_settled()
    assert session.row().next_due_at is None


def test_broken_configuration_stops_the_circle_until_it_is_changed(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(provider="nonsense"))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    wait_until(lambda: session.row().container_error, what="the failure is recorded")
    session.wait_until_settled()

    sweep.wake(session.id)
    sweep.configure(ContainerConfigChange(provider="scripted"))
    sweep.wake(session.id)

    session.wait_for_answer("You said: hello")
    assert starts(sweep) == 2
    assert session.row().container_error is None


def test_given_up_session_says_so_in_its_chat_when_asked_again(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(provider="nonsense"))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    wait_until(lambda: session.row().container_error, what="the failure is recorded")
    session.wait_until_settled()

    session.ask("m2", "still there?")

    wait_until(sweep.deliveries, what="the chat is told")
    sweep.wake(session.id)
    assert starts(sweep) == 1
    assert len(sweep.deliveries()) == 1


def test_restart_of_the_sweep_gives_a_broken_configuration_another_chance(
    sweep: SweepProcess,
) -> None:
    sweep.configure(ContainerConfigChange(provider="nonsense"))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    wait_until(lambda: session.row().container_error, what="the failure is recorded")
    session.wait_until_settled()
    sweep.stop()

    sweep.start()

    wait_until(lambda: starts(sweep) == 2, what="it is tried again")


def test_idle_agent_leaves_and_the_next_message_brings_it_back(sweep: SweepProcess) -> None:
    sweep.configure(ContainerConfigChange(idle_exit_seconds=1))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "one")
    session.wait_for_answer("You said: one")

    session.wait_until_settled()
    session.ask("m2", "two")

    session.wait_for_answer("You said: two")
    assert session.row().lease_token == 2


def test_idle_agent_makes_room_for_one_that_waits(tmp_path: Path) -> None:
    with SweepProcess(tmp_path, max_running="1") as sweep:
        first, second = sweep.new_session(), sweep.new_session()
        sweep.start()
        first.ask("m1", "one")
        first.wait_for_answer("You said: one")

        second.ask("m2", "two")

        second.wait_for_answer("You said: two")
        assert not first.row().is_running


def test_no_more_agents_run_than_are_allowed(tmp_path: Path) -> None:
    with SweepProcess(tmp_path, max_running="2") as sweep:
        sweep.script(SLOW)
        waiting = [sweep.new_session() for _ in range(4)]
        for number, session in enumerate(waiting):
            session.write(f"m{number}", "slow")
        sweep.start()

        def most() -> bool:
            assert sum(session.row().is_running for session in waiting) <= 2
            return all("done: slow" in session.texts() for session in waiting)

        wait_until(most, within=30, what="all are answered")


def test_killed_sweep_loses_no_turn_and_blames_no_message(sweep: SweepProcess) -> None:
    sweep.script(SLOW)
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "slow")
    session.wait_until_running()

    sweep.kill()
    sweep.start()

    session.wait_for_answer("done: slow")
    assert session.message("m1").tries == 0
    assert session.texts() == ["done: slow"]


def test_runners_of_a_killed_sweep_are_gone(sweep: SweepProcess) -> None:
    sweep.script(HANG)
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hang")
    pid = int(session.wait_until_running().removeprefix("process-"))

    sweep.kill()

    wait_until(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid), what="it is gone")


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_stopped_sweep_takes_its_runners_along_and_settles_them(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")

    assert sweep.stop() == 0

    row = session.row()
    assert not row.is_running
    assert row.lease_owner is None
    assert row.out_dirty


def test_agent_is_stopped_on_request_and_comes_back_with_the_next_message(
    sweep: SweepProcess,
) -> None:
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "one")
    session.wait_for_answer("You said: one")

    sweep.ask_to_stop(session.id)
    session.wait_until_settled()
    session.ask("m2", "two")

    session.wait_for_answer("You said: two")


def test_killed_runner_between_turns_is_replaced(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "one")
    session.wait_for_answer("You said: one")
    pid = int((session.row().container_id or "").removeprefix("process-"))

    os.kill(pid, signal.SIGKILL)
    session.wait_until_settled()
    session.ask("m2", "two")

    session.wait_for_answer("You said: two")


def test_damaged_inbox_stops_its_own_session_only(sweep: SweepProcess) -> None:
    bad, good = sweep.new_session(), sweep.new_session()
    bad.write("m1", "lost")
    bad.folder.inbound_db.write_bytes(b"garbage" * 1000)
    sweep.start()
    sweep.wake(bad.id)

    good.ask("m2", "hello")

    good.wait_for_answer("You said: hello")
    wait_until(lambda: bad.row().quarantined_at, what="it is set aside")
    assert (sweep.paths.backups / "set-aside" / bad.id / "inbound.db").exists()


def test_sleeping_sessions_are_not_even_opened(sweep: SweepProcess) -> None:
    sleepers = [sweep.new_session() for _ in range(50)]
    for session in sleepers:
        session.folder.inbound_db.unlink()
    awake = sweep.new_session()
    sweep.start()

    awake.ask("m1", "hello")
    awake.wait_for_answer("You said: hello")

    assert not any(session.folder.inbound_db.exists() for session in sleepers)
    assert starts(sweep) == 1


@contextmanager
def half_written(path: Path) -> Iterator[None]:
    """A journal as a killed host leaves it: the page is written, the commit is not."""
    code = (
        "import os, sqlite3, sys\n"
        "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA cache_size=1')\n"
        "conn.execute('BEGIN IMMEDIATE')\n"
        "for n in range(400):\n"
        "    row = (str(n), 'x' * 500, 'd', 'd')\n"
        "    conn.execute('INSERT INTO delivered VALUES (?, ?, ?, ?)', row)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name(path.name + "-journal").exists()
    yield


def test_journal_left_by_a_killed_host_is_rolled_back_before_ready(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    with sweep.database() as conn:
        conn.execute("UPDATE sessions SET container_status = 'running'")

    with half_written(session.folder.inbound_db):
        sweep.start()

    with sqlite3.connect(session.folder.inbound_db) as conn:
        assert conn.execute("SELECT count(*) FROM delivered").fetchone() == (0,)


def test_two_deaths_over_one_session_quarantine_it(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    session.write("m1", "hello")
    note = sweep.paths.run / "working-sweep"
    with sweep.database() as conn:
        sessions.record_death(conn, session.id)
    note.write_text(session.id)

    sweep.start()
    sweep.wake(session.id)

    assert session.row().quarantined_at is not None
    assert starts(sweep) == 0


def test_second_group_setting_is_read_at_every_start(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    with sweep.database() as conn:
        conn.execute("DELETE FROM container_configs")
    sweep.settings["provider"] = "scripted"
    sweep.start()

    session.ask("m1", "hello")

    session.wait_for_answer("You said: hello")
    with sweep.database() as conn:
        assert container_configs.get(conn, session.row().agent_group_id) is not None


def test_everything_works_without_inotify(sweep: SweepProcess) -> None:
    sweep.environment["NANOCLAW_WATCH"] = "polling"
    session = sweep.new_session()
    sweep.start()

    for number in range(3):
        session.ask(f"m{number}", f"message {number}")
        session.wait_for_answer(f"You said: message {number}")


def test_bell_wakes_the_sweep_as_well_as_a_frame(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.write("m1", "hello")

    ring(sweep.paths, SWEEP)

    session.wait_for_answer("You said: hello")
