"""Scripts of tasks, run for real (R-100 to R-105)."""

import asyncio
import os
from pathlib import Path

import pytest
from helpers.loop_thread import DoubleProvider, Gate, insert, running_loop, state_of
from helpers.runner_process import RunnerSession
from helpers.waiting import wait_until

from contract.address import Destination, DestinationType
from contract.inbound.row import AckStatus
from runner.gate.decide import Stopped
from runner.gate.script import MAX_OUTPUT, Surroundings, run_script

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")


@pytest.fixture(autouse=True)
def destination(session: RunnerSession) -> None:
    session.permit(ME)


def task(session: RunnerSession, name: str, script: str, series: str | None = None) -> str:
    content = {"prompt": f"do {name}", "script": script}
    return insert(session, name, "task", content, series_id=series)


def around(tmp_path: Path, seconds: float = 20.0) -> Surroundings:
    return Surroundings(tmp_path / "scripts", tmp_path, {"PATH": os.environ["PATH"]}, seconds)


def test_script_runs_in_the_workspace_and_its_file_is_gone_afterwards(tmp_path: Path) -> None:
    run = asyncio.run(run_script("pwd; echo $0; echo oops >&2; exit 3", around(tmp_path)))

    where, file = run.output.splitlines()
    assert where == str(tmp_path)
    assert (run.status, run.errors, run.stopped) == (3, "oops\n", None)
    assert Path(file).parent == tmp_path / "scripts"
    assert list((tmp_path / "scripts").iterdir()) == []
    assert (tmp_path / "scripts").stat().st_mode & 0o777 == 0o700


def test_script_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    run = asyncio.run(run_script("sleep 60 & echo $!; wait", around(tmp_path, 0.5)))

    assert run.stopped is Stopped.TOO_SLOW
    assert_gone(int(run.output))


def test_children_that_a_script_leaves_behind_are_ended(tmp_path: Path) -> None:
    run = asyncio.run(run_script("sleep 60 & echo $!", around(tmp_path)))

    assert (run.status, run.stopped) == (0, None)
    assert_gone(int(run.output))


def test_output_without_end_is_broken_off(tmp_path: Path) -> None:
    run = asyncio.run(run_script("yes", around(tmp_path)))

    assert run.stopped is Stopped.TOO_MUCH
    assert len(run.output) < 2 * MAX_OUTPUT


def test_script_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    missing = Surroundings(tmp_path / "scripts", tmp_path / "nowhere", {})

    assert asyncio.run(run_script("true", missing)).stopped is Stopped.NOT_STARTED


def assert_gone(pid: int) -> None:
    def gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    wait_until(gone, what=f"the end of {pid}")


def test_task_that_its_script_wakes_is_shown_with_the_output(session: RunnerSession) -> None:
    provider = DoubleProvider()
    woken = task(session, "t-1", """echo '{"wakeAgent": true, "data": {"open": 3}}'""")

    with running_loop(session, provider):
        session.wait_for_status(woken, AckStatus.COMPLETED)

    [prompt] = provider.prompts
    assert "&quot;open&quot;: 3" in prompt.text
    assert "Instructions:\ndo t-1</task>" in prompt.text


def test_skipped_task_is_settled_unseen_and_the_chat_beside_it_is_answered(
    session: RunnerSession,
) -> None:
    provider = DoubleProvider()
    skipped = task(session, "t-1", """echo '{"wakeAgent": false}'""")
    message = session.send("hello")

    with running_loop(session, provider):
        session.wait_for_status(skipped, AckStatus.COMPLETED)
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert [prompt.ids for prompt in provider.prompts] == [(message,)]
    assert session.texts() == ["ok"]


def test_context_waits_on_when_the_task_beside_it_is_skipped(session: RunnerSession) -> None:
    provider = DoubleProvider()
    context = session.send("listening", trigger=False)
    skipped = task(session, "t-1", """echo '{"wakeAgent": false}'""")

    with running_loop(session, provider):
        session.wait_for_status(skipped, AckStatus.COMPLETED)
        message = session.send("hello")
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert [prompt.ids for prompt in provider.prompts] == [(context, message)]


def test_gate_applies_to_tasks_that_come_during_a_turn(session: RunnerSession) -> None:
    gate = Gate()
    provider = DoubleProvider(gate.hold('<message to="me">a</message>'))
    session.send("hello")

    with running_loop(session, provider):
        gate.wait()
        skipped = task(session, "t-1", """echo '{"wakeAgent": false}'""")
        woken = task(session, "t-2", """echo '{"wakeAgent": true}'""")
        session.wait_for_status(skipped, AckStatus.COMPLETED)
        gate.open.set()
        session.wait_for_status(woken, AckStatus.COMPLETED)

    assert [prompt.ids for prompt in provider.prompts[1:]] == [(woken,)]


def test_chat_is_answered_while_a_script_runs(session: RunnerSession) -> None:
    provider = DoubleProvider()
    flag = session.root / "go"
    slow = task(
        session,
        "t-1",
        f"""until [ -e {flag} ]; do sleep 0.05; done; echo '{{"wakeAgent": false}}'""",
    )

    with running_loop(session, provider):
        session.wait_for_status(slow, AckStatus.PROCESSING)
        beat = session.paths.heartbeat.stat().st_mtime_ns
        message = session.send("hello")
        session.wait_for_status(message, AckStatus.COMPLETED)
        wait_until(lambda: session.paths.heartbeat.stat().st_mtime_ns > beat)
        assert session.status_of(slow) is AckStatus.PROCESSING
        flag.touch()
        session.wait_for_status(slow, AckStatus.COMPLETED)


def test_at_most_four_scripts_run_at_once(session: RunnerSession) -> None:
    folder = session.root / "running"
    folder.mkdir()
    script = f"""
        touch {folder}/$$; ls {folder} | wc -l >> {session.root}/counts
        until [ -e {session.root}/go ]; do sleep 0.02; done
        rm {folder}/$$; echo '{{"wakeAgent": false}}'
    """
    ids = [task(session, f"t-{n}", script) for n in range(6)]

    with running_loop(session, DoubleProvider()):
        wait_until(lambda: len(list(folder.iterdir())) == 4)
        (session.root / "go").touch()
        for one in ids:
            session.wait_for_status(one, AckStatus.COMPLETED)

    counts = (session.root / "counts").read_text().split()
    assert max(int(count) for count in counts) <= 4
    assert len(counts) == 6


def test_script_that_fails_three_times_in_a_row_wakes_the_agent_with_a_note(
    session: RunnerSession,
) -> None:
    provider = DoubleProvider()

    with running_loop(session, provider):
        for number in range(4):
            one = task(session, f"t-{number}", "echo broken; exit 1", series="series-1")
            session.wait_for_status(one, AckStatus.COMPLETED)

    [prompt] = provider.prompts
    [note] = prompt.notes
    assert prompt.ids == ("t-2",)
    assert "series-1 runs has failed 3 times in a row" in note
    assert "broken" in note
    assert "do t-2" not in prompt.text
    assert state_of(session, "script_failures:series-1") == "1"


def test_script_that_works_again_is_forgiven(session: RunnerSession) -> None:
    provider = DoubleProvider()
    good = """echo '{"wakeAgent": false}'"""

    with running_loop(session, provider):
        for number, script in enumerate(["exit 1", "exit 1", good, "exit 1", "exit 1"]):
            one = task(session, f"t-{number}", script, series="series-1")
            session.wait_for_status(one, AckStatus.COMPLETED)

    assert provider.prompts == []
    assert state_of(session, "script_failures:series-1") == "2"


def test_claim_of_a_task_whose_script_ran_at_the_end_is_left_for_the_next_lease(
    session: RunnerSession,
) -> None:
    slow = task(session, "t-1", "sleep 60")

    with running_loop(session, DoubleProvider()):
        session.wait_for_status(slow, AckStatus.PROCESSING)

    assert session.status_of(slow) is AckStatus.PROCESSING
