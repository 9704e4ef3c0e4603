"""Restart races with a real sweep and real runners (W-33, W-34, T-73)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.engine import HELLO, SweepProcess, TestSession
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.events import BuildImage, Frame, ImageBuilt, Ok, StopContainers
from nanoclaw.link import Answer, FrameClient, QuietHandler
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.restart import Restart, prepare_restart

SLOW = {"match": "slow", "steps": [{"delay_ms": 1500}, {"say": "done: {text}"}]}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with SweepProcess(tmp_path) as made:
        yield made


@pytest.fixture
def agent(sweep: SweepProcess) -> TestSession:
    """A session whose runner works and has answered once."""
    sweep.script(SLOW)
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    session.wait_until_running()
    return session


def request(sweep: SweepProcess, frame: Frame) -> Answer:
    """As the delivery process asks."""
    reactor = Reactor()
    client = FrameClient(reactor, sweep.paths.socket("sweep"), HELLO, QuietHandler())
    client.connect()
    answers: list[Answer] = []
    for _ in range(100):
        reactor.run_once(0.02)
        if client.connected:
            break
    client.request(frame, 10, answers.append)
    while not answers:
        reactor.run_once(0.1)
    client.close()
    reactor.close()
    return answers[0]


def restart(session: TestSession, text: str) -> StopContainers:
    """The notes are written; what remains is to stop."""
    now = utc_now()
    wanted = Restart(
        session.row().agent_group_id, "test", "a test wants it", now,
        now + timedelta(seconds=60), text,
    )  # fmt: skip
    with session.sweep.database() as conn:
        return prepare_restart(conn, session.sweep.paths, wanted, now)


def test_restarted_agent_reads_its_note_in_a_fresh_runner(agent: TestSession) -> None:
    before = agent.wait_until_running()

    frame = restart(agent, "new tools")
    assert frame.session_ids == (agent.id,)
    assert request(agent.sweep, frame) == Ok()

    agent.wait_for_answer("You said: new tools")
    assert agent.wait_until_running() != before


def test_dying_runner_does_not_take_the_note(agent: TestSession) -> None:
    """Written while the old runner still works: only the next one sees it (H-169)."""
    agent.ask("m2", "slow work")
    agent.write("m3", "ordinary")
    frame = restart(agent, "new tools")
    agent.wait_for_answer("done: slow work")
    assert "You said: new tools" not in agent.texts()

    request(agent.sweep, frame)

    agent.wait_for_answer("You said: new tools")


def test_runner_that_left_by_itself_in_between_loses_no_note(agent: TestSession) -> None:
    frame = restart(agent, "new tools")
    agent.sweep.ask_to_stop(agent.id)  # stands for an end of its own
    agent.wait_for_answer("You said: new tools")
    newcomer = agent.wait_until_running()

    assert request(agent.sweep, frame) == Ok()  # comes late, and names the old lease

    agent.ask("m9", "still there?")
    agent.wait_for_answer("You said: still there?")
    assert agent.wait_until_running() == newcomer


def test_t73_wakes_during_a_kill_start_one_runner_after_it(agent: TestSession) -> None:
    """Whichever of the two takes the message: it is answered once, and nobody works beside."""
    agent.write("m2", "in between")

    agent.sweep.ask_to_stop(agent.id)
    agent.sweep.wake(agent.id, times=20)
    agent.wait_for_answer("You said: in between")
    agent.ask("m3", "after the kill")

    agent.wait_for_answer("You said: after the kill")
    assert agent.texts().count("You said: in between") == 1
    assert agent.row().lease_token == 2


def test_t73_wake_storm_starts_one_runner(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.write("m1", "hello")

    sweep.wake(session.id, times=50)

    session.wait_for_answer("You said: hello")
    assert session.row().lease_token == 1
    assert session.texts() == ["You said: hello"]


def test_t73_runner_that_is_only_starting_is_stopped_when_it_is_up(sweep: SweepProcess) -> None:
    """W-34: a stop that comes before there is anything to stop is not lost."""
    sweep.script(SLOW)
    session = sweep.new_session()
    sweep.start()
    session.write("m1", "slow work")
    sweep.wake(session.id)
    wait_until(lambda: session.row().lease_token == 1, within=15, what="a start is under way")

    sweep.ask_to_stop(session.id)

    wait_until(lambda: session.row().lease_token > 1, within=20, what="another one has started")
    session.wait_for_answer("done: slow work")


def test_host_without_containers_builds_no_images(agent: TestSession) -> None:
    """The answer is for good: nobody asks again and again."""
    answer = request(agent.sweep, BuildImage(agent.row().agent_group_id, ("jq",)))

    assert isinstance(answer, ImageBuilt)
    assert (answer.tag, answer.passing) == (None, False)
    assert "without containers" in answer.detail


def test_group_without_a_configuration_starts_with_the_defaults(tmp_path: Path) -> None:
    """W-58: groups may be inserted by other tools while the host runs."""
    with SweepProcess(tmp_path, provider="scripted") as sweep:
        session = sweep.new_session()
        with sweep.database() as conn:
            conn.execute("DELETE FROM container_configs")
        sweep.start()

        session.ask("m1", "hello")

        session.wait_for_answer("You said: hello")
