"""Answers that arrive as system rows (R-98, R-172)."""

import pytest
from helpers.loop_thread import DoubleDesk, DoubleProvider, Gate, insert, running_loop
from helpers.runner_process import RunnerSession

from contract.address import Destination, DestinationType
from contract.clock import utc_now
from contract.inbound.row import AckStatus
from contract.jsontext import dump
from contract.outbound.writer import open_outbound
from runner.desk.questions import QUESTIONS_KEY, OpenQuestion, with_question

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")
ANSWER = {
    "type": "question_response",
    "questionId": "msg-1",
    "selectedOption": "Yes",
    "userId": "cli:ann",
}


@pytest.fixture(autouse=True)
def destination(session: RunnerSession) -> None:
    session.permit(ME)


def remember_question(session: RunnerSession, *, elsewhere: bool = False) -> None:
    question = OpenQuestion("msg-1", "call-1", "Deploy", "Go live?", utc_now(), elsewhere)
    if elsewhere:
        later = utc_now().replace(year=utc_now().year + 1)
        question = OpenQuestion("msg-1", "call-1", "Deploy", "Go live?", later, elsewhere)
    with open_outbound(session.paths.outbound_db) as out:
        out.set_state(QUESTIONS_KEY, with_question(None, question, utc_now()), utc_now())


def test_late_answer_becomes_a_message_with_its_question(session: RunnerSession) -> None:
    remember_question(session)
    provider = DoubleProvider()
    answer = insert(session, "a-1", "system", ANSWER)

    with running_loop(session, provider, desk=DoubleDesk()):
        session.wait_for_status(answer, AckStatus.COMPLETED)

    [prompt] = provider.prompts
    assert 'action="ask_user_question" status="late"' in prompt.text
    assert "Go live?" in prompt.text
    assert "&quot;answer&quot;:&quot;Yes&quot;" in prompt.text


def test_late_answer_is_pushed_into_a_running_turn(session: RunnerSession) -> None:
    gate = Gate()
    provider = DoubleProvider(gate.hold('<message to="me">a</message>'))
    session.send("work")

    with running_loop(session, provider, desk=DoubleDesk()):
        gate.wait()
        answer = insert(session, "a-1", "system", ANSWER)
        session.wait_for_status(answer, AckStatus.PROCESSING)
        gate.open.set()
        session.wait_for_status(answer, AckStatus.COMPLETED)

    assert len(provider.prompts) == 2


def test_answer_that_a_tool_waits_for_is_left_to_it(session: RunnerSession) -> None:
    provider = DoubleProvider()
    answer = insert(session, "a-1", "system", ANSWER, age_seconds=600)
    dropped = insert(session, "a-2", "system", {"type": "other"}, age_seconds=600)

    with running_loop(session, provider, desk=DoubleDesk(awaited={"msg-1"})):
        session.wait_for_status(dropped, AckStatus.COMPLETED)

    assert session.status_of(answer) is None
    assert provider.prompts == []


def test_answer_that_another_process_waits_for_is_left_to_it(session: RunnerSession) -> None:
    remember_question(session, elsewhere=True)
    provider = DoubleProvider()
    answer = insert(session, "a-1", "system", ANSWER, age_seconds=600)
    dropped = insert(session, "a-2", "system", {"type": "other"}, age_seconds=600)

    with running_loop(session, provider, desk=DoubleDesk()):
        session.wait_for_status(dropped, AckStatus.COMPLETED)

    assert session.status_of(answer) is None
    assert provider.prompts == []


def test_answer_to_a_command_is_left_for_a_minute_and_then_dropped(session: RunnerSession) -> None:
    frame = {"id": "cli-1", "ok": True}
    response = {"type": "cli_response", "requestId": "cli-1", "frame": frame}
    young = insert(session, "cli-resp-1", "system", response, trigger=False)
    old = insert(session, "cli-resp-2", "system", response, trigger=False, age_seconds=61)

    with running_loop(session, DoubleProvider(), desk=DoubleDesk()):
        session.wait_for_status(old, AckStatus.COMPLETED)

    assert session.status_of(young) is None


def test_chat_message_that_quotes_a_question_answers_nothing(session: RunnerSession) -> None:
    provider = DoubleProvider()
    message = session.send(dump(ANSWER))

    with running_loop(session, provider, desk=DoubleDesk()):
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert "<message id=" in provider.prompts[0].text
    assert "system_response" not in provider.prompts[0].text
