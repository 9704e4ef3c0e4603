import pytest
from helpers.runner_process import RunnerSession
from helpers.waiting import wait_until

from contract.address import Address
from contract.config import SessionLimits
from contract.inbound.row import AckStatus


def test_follow_up_is_pushed_into_the_running_turn(session: RunnerSession) -> None:
    session.configure([{"match": "first", "steps": [{"absorb": 1}, {"say": "both: {text}"}]}])
    first = session.send("first")
    session.start()
    session.wait_for_status(first, AckStatus.PROCESSING)

    second = session.send("second")

    assert session.wait_for_texts(1) == ["both: first\nsecond"]
    assert session.status_of(first) is AckStatus.COMPLETED
    assert session.status_of(second) is AckStatus.COMPLETED


def test_follow_up_is_settled_only_by_the_turn_that_saw_it(session: RunnerSession) -> None:
    session.configure([{"match": "first", "steps": [{"hang": True}]}])
    first = session.send("first")
    session.start()
    session.wait_for_status(first, AckStatus.PROCESSING)

    second = session.send("second")
    session.wait_for_status(second, AckStatus.PROCESSING)
    stop = session.send("/stop")

    session.wait_for_status(second, AckStatus.COMPLETED)
    assert session.status_of(stop) is AckStatus.COMPLETED
    assert sorted(session.texts()) == ["Stopped.", "You said: second"]


def test_rows_beyond_what_a_turn_may_hold_stay_pending(session: RunnerSession) -> None:
    session.configure(
        [{"match": "first", "steps": [{"hang": True}]}], keys={"maxMessagesPerPrompt": 1}
    )
    first = session.send("first")
    session.start()
    session.wait_for_status(first, AckStatus.PROCESSING)

    others = [session.send(f"more {n}") for n in range(4)]

    session.wait_for_status(others[1], AckStatus.PROCESSING)
    assert session.status_of(others[3]) is None


def test_stop_without_a_turn_says_that_nothing_runs(session: RunnerSession) -> None:
    session.start()

    session.send("/stop")

    assert session.wait_for_texts(1) == ["Nothing is running."]


def test_clear_waits_for_the_running_turn(session: RunnerSession) -> None:
    session.configure([{"match": "first", "steps": [{"hang": True}]}])
    first = session.send("first")
    process = session.start()
    session.wait_for_status(first, AckStatus.PROCESSING)

    clear = session.send("/clear")
    session.send("/stop")

    session.wait_for_status(clear, AckStatus.COMPLETED)
    assert [text.split()[0] for text in session.texts()] == ["Stopped.", "The"]
    assert process.process.poll() is None


def test_failing_turn_is_told_in_one_sentence_and_the_loop_goes_on(session: RunnerSession) -> None:
    session.configure([{"match": "bad", "steps": [{"raise": "secret detail"}]}])
    bad = session.send("bad")
    process = session.start()
    [text] = session.wait_for_texts(1)

    session.send("good")

    session.wait_for_texts(2)
    assert text.startswith("Error: ")
    assert "secret" not in text
    assert "secret detail" in process.log()
    assert session.texts()[1] == "You said: good"
    assert session.status_of(bad) is AckStatus.COMPLETED


def test_provider_error_event_becomes_its_sentence(session: RunnerSession) -> None:
    session.configure([{"match": None, "steps": [{"error": "quota"}]}])
    session.send("hello")

    session.start()

    assert session.wait_for_texts(1) == [
        "Error: The usage limit is reached. Please try again later."
    ]


def test_unusable_conversation_is_forgotten_and_the_message_answered(
    session: RunnerSession,
) -> None:
    session.configure(
        [
            {"match": "again", "times": 1, "steps": [{"session_invalid": True}]},
            {"match": None, "steps": [{"say": "turn {count}"}]},
        ]
    )
    session.start()
    session.send("hello")
    session.wait_for_texts(1)

    session.send("again")

    assert session.wait_for_texts(2) == ["turn 1", "turn 1"]


def test_conversation_that_stays_unusable_ends_in_an_error_row(session: RunnerSession) -> None:
    session.configure([{"match": None, "steps": [{"session_invalid": True}]}])
    message = session.send("hello")

    session.start()

    session.wait_for_status(message, AckStatus.COMPLETED)
    assert [text[:7] for text in session.texts()] == ["Error: "]


def test_other_agent_is_told_of_an_error_only_once(session: RunnerSession) -> None:
    peer = Address("agent", "ag-2")
    session.configure([{"match": None, "steps": [{"raise": "no"}]}])
    session.start()
    first = session.send("hello", address=peer)
    session.wait_for_status(first, AckStatus.COMPLETED)

    second = session.send("hello again", address=peer)

    session.wait_for_status(second, AckStatus.COMPLETED)
    assert len(session.messages()) == 1


@pytest.mark.parametrize(
    ("of_session", "of_group"), [(1, None), (None, 1), (60, 1)], ids=["session", "group", "both"]
)
def test_turn_over_the_limit_is_broken_off_and_told(
    session: RunnerSession, of_session: int | None, of_group: int | None
) -> None:
    session.configure(
        [{"match": "slow", "steps": [{"hang": True}]}],
        limits=SessionLimits(turn_seconds=of_session),
        keys={"maxTurnSeconds": of_group},
    )
    session.start()
    slow = session.send("slow")

    session.wait_for_status(slow, AckStatus.COMPLETED)

    assert session.texts() == ["Error: This took longer than allowed and was stopped."]
    session.send("next")
    wait_until(lambda: "You said: next" in session.texts())


def test_stop_is_heard_behind_many_waiting_messages(session: RunnerSession) -> None:
    session.configure(
        [{"match": "^first$", "steps": [{"hang": True}]}], keys={"maxMessagesPerPrompt": 1}
    )
    first = session.send("first")
    session.start()
    session.wait_for_status(first, AckStatus.PROCESSING)
    last = [session.send(f"more {n}") for n in range(20)][-1]

    session.send("/stop")

    session.wait_for_status(last, AckStatus.COMPLETED)
    assert session.status_of(first) is AckStatus.COMPLETED
    assert [text for text in session.texts() if text != "Stopped."] == [
        f"You said: more {n}" for n in range(20)
    ]
