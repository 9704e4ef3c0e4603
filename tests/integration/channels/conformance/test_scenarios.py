"""The scenarios of C appendix B, by number. Each runs on every channel that has what it needs."""

import hashlib
from dataclasses import replace

import pytest
from helpers.channel_conformance import Ability, Driver, send, wait_until_routed, wait_until_shown
from helpers.channel_worker import answer_to, deliver
from helpers.waiting import wait_until

from nanoclaw.events import (
    ActionOutcome,
    ActionResult,
    Delivered,
    DeliveryFailed,
    FailureClass,
    SpoolFile,
)


def test_01_setup_reports_identity_and_capabilities(driver: Driver) -> None:
    state = driver.stage.worker.state()

    assert state is not None
    assert state.identity
    wait_until(lambda: driver.stage.delivery.hello)
    hello = driver.stage.delivery.hello
    assert hello is not None
    assert hello.capabilities is not None
    assert (hello.name, hello.kind) == (driver.name, driver.name)


def test_04_connection_cut_loses_nothing_in_either_direction(driver: Driver) -> None:
    driver.say("before")
    wait_until(lambda: len(driver.stage.router.events) == 1)
    question = driver.stage.router.events[0]
    driver.cut()
    for number in range(5):
        send(driver, answer_to(question, f"answer {number}", f"d{number}"))

    driver.restore()
    driver.say("after")

    wait_until_shown(driver, *(f"answer {number}" for number in range(5)))
    wait_until_routed(driver, "before", "after")


def test_07_stop_during_a_delivery_sends_exactly_once(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)
    frame = answer_to(driver.stage.router.events[0], "once", "d1")
    driver.stage.delivery.start(frame)

    assert driver.stage.worker.stop() == 0
    driver.stage.worker.start()
    send(driver, frame)

    wait_until_shown(driver, "once")


def test_08_a_restart_replays_no_history(driver: Driver) -> None:
    driver.say("old")
    wait_until(lambda: driver.stage.router.events)
    driver.stage.worker.stop()
    driver.stage.worker.start()

    driver.say("new")

    wait_until_routed(driver, "old", "new")


def test_09_a_direct_message_is_one(driver: Driver) -> None:
    driver.say("hello")

    wait_until(lambda: driver.stage.router.events)
    event = driver.stage.router.events[0]
    assert (event.is_mention, event.is_group) == (True, False)
    assert event.sender_id
    assert len(event.event_key) <= 255


def test_11_own_messages_are_not_reported(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)
    send(driver, answer_to(driver.stage.router.events[0], "hi", "d1"))
    wait_until_shown(driver, "hi")

    driver.say("again")

    wait_until_routed(driver, "hello", "again")


def test_12_the_same_event_twice_also_after_a_restart_is_one(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)

    driver.repeat_last()
    driver.stage.worker.stop()
    driver.stage.worker.start()
    driver.repeat_last()

    wait_until(lambda: len(driver.stage.router.received) == 3)
    assert driver.stage.router.texts == ["hello"]


def test_19_empty_messages_produce_nothing(driver: Driver) -> None:
    driver.send_nothing()
    driver.say("hello")

    wait_until(lambda: driver.stage.router.events)
    assert driver.stage.router.texts == ["hello"]


def test_21_a_malformed_payload_is_skipped_and_the_next_message_works(driver: Driver) -> None:
    driver.send_malformed()
    driver.say("hello")

    wait_until(lambda: driver.stage.router.events)
    assert driver.stage.router.texts == ["hello"]


def test_22_a_burst_of_300_messages_is_routed_in_order(driver: Driver) -> None:
    for number in range(300):
        driver.say(str(number))
        if number % 50 == 0:
            driver.shown()

    wait_until(lambda: len(driver.stage.router.events) == 300, within=20)
    assert driver.stage.router.texts == [str(number) for number in range(300)]


def test_23_nothing_is_lost_while_the_router_is_away(driver: Driver) -> None:
    driver.stage.router.close()
    for number in range(10):
        driver.say(str(number))
    driver.stage.router.open()

    wait_until(lambda: len(driver.stage.router.events) == 10, within=15)
    assert driver.stage.router.texts == [str(number) for number in range(10)]


@pytest.mark.parametrize("surplus", [0, 1, 9])
def test_24_text_at_the_limit_and_beyond_arrives_whole(driver: Driver, surplus: int) -> None:
    wait_until(lambda: driver.stage.delivery.hello)
    hello = driver.stage.delivery.hello
    assert hello is not None
    assert hello.capabilities is not None
    limit = hello.capabilities.text_limit
    text = "\N{GRINNING FACE}" * (limit + surplus)
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)

    send(driver, answer_to(driver.stage.router.events[0], text, "d1"))

    wait_until(lambda: "".join(driver.shown()) == text, within=15)
    assert all(len(piece) <= limit for piece in driver.shown())


@pytest.mark.needs(Ability.SECOND_PERSON)
def test_28_answers_to_one_chat_keep_order_and_another_chat_is_not_mixed_in(
    driver: Driver,
) -> None:
    driver.say("first", person=1)
    driver.say("second", person=2)
    wait_until(lambda: len(driver.stage.router.events) == 2)
    first, second = sorted(driver.stage.router.events, key=lambda event: event.text)

    send(
        driver,
        *(answer_to(first, f"a{number}", f"a{number}") for number in range(10)),
        *(answer_to(second, f"b{number}", f"b{number}") for number in range(10)),
    )

    wait_until_shown(driver, *(f"a{number}" for number in range(10)), person=1)
    wait_until_shown(driver, *(f"b{number}" for number in range(10)), person=2)


def test_30_an_answer_lost_after_the_send_doubles_nothing(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)
    frame = answer_to(driver.stage.router.events[0], "once", "d1")
    driver.stage.delivery.start(frame)
    wait_until_shown(driver, "once")
    driver.stage.worker.kill()  # whatever it had not written down is forgotten
    driver.stage.worker.start()

    assert isinstance(send(driver, frame)[0], Delivered)
    send(driver, deliver("the end", "d2"))

    wait_until_shown(driver, "once", "the end")


def test_31_what_cannot_be_sent_is_refused_for_good_in_one_try(driver: Driver) -> None:
    (answer,) = send(driver, deliver("", "d1"))

    assert isinstance(answer, DeliveryFailed)
    assert answer.failure is FailureClass.PERMANENT


@pytest.mark.needs(Ability.FILES_OUT)
def test_32_a_text_with_a_file_arrives(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)
    spool = driver.stage.paths.channel(driver.name) / "spool/out"
    (spool / "f1").write_bytes(b"data")
    file = SpoolFile("report.txt", "f1", 4, hashlib.sha256(b"data").hexdigest())
    frame = answer_to(driver.stage.router.events[0], "here it is", "d1")

    (answer,) = send(driver, replace(frame, files=(file,)))

    assert isinstance(answer, Delivered)
    wait_until_shown(driver, "here it is")


@pytest.mark.needs(Ability.QUESTIONS)
@pytest.mark.parametrize("options", [2, 5, 12])
def test_33_a_question_is_shown_with_all_options_and_answered(driver: Driver, options: int) -> None:
    driver.stage.router.action_result = ActionResult(ActionOutcome.ACCEPTED)
    labels = ",".join(f'"Option {number}"' for number in range(1, options + 1))
    content = (
        '{"type":"ask_question","questionId":"q-' + "x" * 100 + '","title":"Which?",'
        f'"question":"Which one?","options":[{labels}]}}'
    )
    driver.shown()
    frame = replace(deliver("", "d1"), kind="chat-sdk", content=content)
    assert isinstance(send(driver, frame)[0], Delivered)
    wait_until(driver.shown)
    assert all(f"Option {number}" in driver.shown()[0] for number in range(1, options + 1))

    driver.say(f"Option {options}")

    wait_until(lambda: driver.stage.router.actions)
    action = driver.stage.router.actions[0]
    assert (action.value, len(action.question_id)) == (str(options - 1), 102)


@pytest.mark.needs(Ability.KEPT_OUTPUT)
def test_37_messages_without_a_worker_arrive_after_it_starts(driver: Driver) -> None:
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)
    driver.stage.worker.stop()
    driver.stage.worker.start()

    send(driver, answer_to(driver.stage.router.events[0], "late", "d1"))

    wait_until_shown(driver, "late")


def test_38_odd_characters_in_agent_text_do_no_harm(driver: Driver) -> None:
    odd = "@everyone <b>x</b> \u202e \x00\x1b[2J \ufeff https://example.org\nnext"
    driver.say("hello")
    wait_until(lambda: driver.stage.router.events)

    send(driver, answer_to(driver.stage.router.events[0], odd, "d1"))
    send(driver, answer_to(driver.stage.router.events[0], "fine", "d2"))

    wait_until(lambda: "fine" in driver.shown())
    assert len(driver.shown()) == 2
