import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.channel_terminal import RawClient
from helpers.channel_worker import Stage, answer_to, deliver, open_stage
from helpers.kill_points import KillFolder
from helpers.waiting import wait_until

from nanoclaw.events import (
    ActionOutcome,
    ActionResult,
    Deliver,
    Delivered,
    DeliveryFailed,
    DeliveryKnowledge,
    DeliveryKnown,
    DeliveryStatus,
    FailureClass,
    InboundEvent,
    SpoolFile,
)

QUESTION = (
    '{"type":"ask_question","questionId":"q1","title":"Deploy?","question":"Really?",'
    '"options":["Yes",{"label":"No","value":"n"}]}'
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Stage]:
    """The worker is a process of its own."""
    with open_stage(tmp_path / "home", process=True) as opened:
        yield opened


def ask(stage: Stage, client: RawClient, text: str = "hello") -> InboundEvent:
    """The client says something; returns the event as the router has it."""
    before = len(stage.router.events)
    client.say(text, f"m{before}")
    return stage.router.events[before]


def test_an_answer_names_the_line_it_belongs_to(stage: Stage) -> None:
    client = stage.connect("window")
    event = ask(stage, client)

    answer = stage.delivery.ask(answer_to(event, "hi", "d1"))

    line = client.wait_for_text("hi")
    assert (line["reply_to"], line["done"]) == ("m0", True)
    assert answer == Delivered((str(line["id"]),))


def test_a_reply_that_is_not_the_last_one_says_so(stage: Stage) -> None:
    client = stage.connect("window")
    event = ask(stage, client)

    stage.delivery.ask(answer_to(event, "looking", "d1", completes=False))

    assert "done" not in client.wait_for_text("looking")


def test_an_answer_goes_to_the_client_that_asked_and_to_no_other(stage: Stage) -> None:
    asker, other = stage.connect("asker"), stage.connect("other")
    event = ask(stage, asker)

    stage.delivery.ask(answer_to(event, "for you", "d1"))
    stage.delivery.ask(deliver("for all", "d2"))

    other.wait_for_text("for all")
    asker.wait_for_text("for all")
    assert asker.texts == ["for you", "for all"]
    assert other.texts == ["for all"]


def test_without_a_hint_the_answered_message_tells_whose_answer_it_is(stage: Stage) -> None:
    asker, other = stage.connect("asker"), stage.connect("other")
    event = ask(stage, asker)

    stage.delivery.ask(deliver("for you", "d1", reply_to=event.message_id))

    asker.wait_for_text("for you")
    assert other.texts == []


def test_a_client_that_only_asks_sees_nothing_else(stage: Stage) -> None:
    script, window = stage.connect("script", listens=False), stage.connect("window")

    stage.delivery.ask(deliver("news", "d1"))

    window.wait_for_text("news")
    assert script.texts == []


def test_an_old_program_gets_its_answer_and_news_as_text(stage: Stage) -> None:
    client = stage.connect()
    client.confirms = False
    client.write(text="hello")
    wait_until(lambda: stage.router.events)

    stage.delivery.ask(answer_to(stage.router.events[0], "hi", "d1"))
    stage.delivery.ask(deliver("news", "d2"))

    client.wait_for_text("news")
    assert client.texts == ["hi", "news"]


def test_output_without_a_client_is_kept_and_shown_once_after_one_line(stage: Stage) -> None:
    answers = stage.delivery.ask_all(deliver("one", "d1"), deliver("two", "d2"))
    assert all(isinstance(answer, Delivered) for answer in answers)

    client = stage.connect("window")
    client.wait_for_text("two")
    client.close()
    again = stage.connect("window-2")
    stage.delivery.ask(deliver("three", "d3"))
    again.wait_for_text("three")

    assert client.notices == ["2 messages came while no client was here to show them:"]
    assert client.texts == ["one", "two"]
    assert again.texts == ["three"]


def test_an_old_program_sees_kept_output_when_it_first_speaks(stage: Stage) -> None:
    stage.delivery.ask(deliver("one", "d1"))
    client = stage.connect()
    client.confirms = False

    client.write(text="hello")

    client.wait_for_text("one")
    assert len(client.notices) == 1


def test_kept_output_survives_a_killed_worker(killable: Stage) -> None:
    killable.delivery.ask(deliver("one", "d1"))
    killable.worker.kill()
    killable.worker.start()

    client = killable.connect("window")

    client.wait_for_text("one")


def test_the_newest_fifty_are_kept(stage: Stage) -> None:
    stage.delivery.ask_all(*(deliver(str(number), f"d{number}") for number in range(60)))

    client = stage.connect("window")

    client.wait_for_text("59")
    assert client.texts == [str(number) for number in range(10, 60)]


def test_what_a_dying_client_did_not_confirm_is_kept(stage: Stage) -> None:
    dying = stage.connect("dying")
    dying.confirms = False
    answers = stage.delivery.start(deliver("important", "d1"))
    dying.wait_for_text("important")
    dying.close()
    wait_until(lambda: answers)

    client = stage.connect("window")

    client.wait_for_text("important")
    assert isinstance(answers[0], Delivered)


def test_a_suspended_client_delays_nobody_for_long_and_loses_nothing(stage: Stage) -> None:
    suspended, window = stage.connect("suspended"), stage.connect("window")
    event = ask(stage, suspended)
    suspended.confirms = False
    stage.delivery.ask(answer_to(event, "first", "d0"))

    answers = stage.delivery.ask_all(
        *(answer_to(event, str(number), f"d{number}") for number in range(1, 11)),
        deliver("news", "d11"),
        within=5,
    )

    assert all(isinstance(answer, Delivered) for answer in answers)
    window.wait_for_text("news")
    assert suspended.texts == ["first"]
    suspended.confirms = True
    suspended.say("I am back", "back")
    suspended.wait_for_text("10")
    shown_again = list(dict.fromkeys(suspended.texts))  # a real client drops repeated ids
    assert shown_again == ["first", *(str(number) for number in range(1, 11))]


def test_a_client_that_never_reads_is_given_up_and_its_output_kept(stage: Stage) -> None:
    deaf = stage.connect("deaf", confirms=False)
    event = ask(stage, deaf)
    deaf.stop_reading()
    big = "x" * 90_000

    answers = stage.delivery.ask_all(
        *(answer_to(event, big, f"d{number}") for number in range(80)), within=30
    )

    assert all(isinstance(answer, Delivered) for answer in answers)
    assert "client does not read" in stage.worker.log()


def test_a_client_that_comes_back_gets_its_pending_answer_without_a_notice(stage: Stage) -> None:
    client, window = stage.connect("client"), stage.connect("window")
    event = ask(stage, client)
    client.close()
    wait_until(lambda: client.ended)

    stage.delivery.ask(answer_to(event, "late", "d1"))
    again = stage.connect("client")

    again.wait_for_text("late")
    assert again.notices == []
    assert window.texts == []


def test_a_client_that_took_its_leave_hands_its_answers_to_the_windows(stage: Stage) -> None:
    client, window = stage.connect("client"), stage.connect("window")
    event = ask(stage, client)
    client.write(leave=True)
    client.close()
    wait_until(lambda: client.ended)

    stage.delivery.ask(answer_to(event, "late", "d1"))

    window.wait_for_text("late")


def test_a_hundred_messages_arrive_in_order(stage: Stage) -> None:
    client = stage.connect("window")

    answers = stage.delivery.ask_all(*(deliver(str(number), f"d{number}") for number in range(100)))

    assert all(isinstance(answer, Delivered) for answer in answers)
    client.wait_for_text("99")
    assert client.texts == [str(number) for number in range(100)]


def test_a_delivery_asked_for_twice_is_shown_once(stage: Stage) -> None:
    client = stage.connect("window")
    first = stage.delivery.ask(deliver("one", "d1"))

    second = stage.delivery.ask(deliver("one", "d1", attempt=2))

    assert first == second
    assert client.texts == ["one"]


def test_the_journal_answers_what_became_of_a_delivery(killable: Stage) -> None:
    answer = killable.delivery.ask(deliver("one", "d1"))
    killable.worker.kill()
    killable.worker.start()

    assert isinstance(answer, Delivered)
    assert killable.delivery.ask(DeliveryStatus("d1")) == DeliveryKnown(
        DeliveryKnowledge.SENT, answer.ids
    )
    assert killable.delivery.ask(DeliveryStatus("d2")) == DeliveryKnown(DeliveryKnowledge.UNKNOWN)


def test_a_message_of_nothing_is_a_permanent_failure(stage: Stage) -> None:
    answer = stage.delivery.ask(deliver("  ", "d1"))

    assert isinstance(answer, DeliveryFailed)
    assert answer.failure is FailureClass.PERMANENT


def test_a_long_text_comes_in_pieces_and_only_the_last_is_done(stage: Stage) -> None:
    client = stage.connect("window")
    event = ask(stage, client)
    text = "\n".join(f"line {number} " + "x" * 60 for number in range(4000))

    answer = stage.delivery.ask(answer_to(event, text, "d1"))

    wait_until(lambda: [line for line in client.lines if line.get("done")])
    assert "\n".join(client.texts) == text
    assert [bool(line.get("done")) for line in client.lines if "id" in line] == [False, False, True]
    assert isinstance(answer, Delivered)
    assert len(answer.ids) == 3


@pytest.mark.parametrize(
    "point",
    [
        "worker.send_planned",
        "worker.send_tried",
        "worker.send_called",
        "worker.send_done",
        "worker.send_answered",
    ],
)
def test_a_worker_killed_on_the_way_out_sends_exactly_once(tmp_path: Path, point: str) -> None:
    kills = KillFolder(tmp_path / "kill")
    kills.path.mkdir()
    with open_stage(tmp_path / "home", kill_folder=kills.path) as stage:
        client = stage.connect("window")
        event = ask(stage, client)
        kills.arm(point, "self")
        first = stage.delivery.start(answer_to(event, "once", "d1"))
        stage.worker.wait_for_death()
        wait_until(lambda: client.ended)
        assert kills.was_reached(point)
        seen = [str(line["id"]) for line in client.lines if "id" in line]
        client.close()

        stage.worker.start()
        again = stage.connect("window", got=tuple(seen))
        second = stage.delivery.ask(answer_to(event, "once", "d1"))
        stage.delivery.ask(answer_to(event, "after", "d2"))

        assert isinstance(second, Delivered)
        again.wait_for_text("after")
        wait_until(lambda: first)
        assert [*client.texts, *again.texts] == ["once", "after"]


def test_a_stop_during_a_delivery_records_its_outcome(killable: Stage) -> None:
    silent = killable.connect("silent")
    event = ask(killable, silent)
    silent.confirms = False
    killable.delivery.start(answer_to(event, "one", "d1"))
    silent.wait_for_text("one")

    assert killable.worker.stop() == 0
    killable.worker.start()

    known = killable.delivery.ask(DeliveryStatus("d1"))
    assert isinstance(known, DeliveryKnown)
    assert known.state is DeliveryKnowledge.SENT


def test_a_settled_reply_may_be_forgotten_by_the_client(stage: Stage) -> None:
    client = stage.connect("window")

    stage.delivery.ask(deliver("one", "d1"))

    line = client.wait_for_text("one")
    client.wait_for(lambda other: other.get("settled") == [line["id"]])


def test_a_question_is_numbered_lines_and_a_typed_number_answers_it(stage: Stage) -> None:
    client = stage.connect("window")
    stage.router.action_result = ActionResult(ActionOutcome.ACCEPTED)
    stage.delivery.ask(question())
    client.wait_for_text("Deploy?\nReally?\n1. Yes\n2. No")

    client.write(text="2", id="m1", ack=True)

    assert client.wait_for_ack("m1")["outcome"] == "routed"
    action = stage.router.actions[0]
    assert (action.question_id, action.value, action.user_id) == ("q1", "1", "local")
    assert client.notices == ["Deploy?: No"]
    assert stage.router.events == []


def test_a_typed_label_answers_too_also_after_a_restart(killable: Stage) -> None:
    killable.router.action_result = ActionResult(ActionOutcome.ACCEPTED)
    killable.delivery.ask(question())
    killable.worker.kill()
    killable.worker.start()
    client = killable.connect("window")

    client.write(text=" yes ", id="m1", ack=True)

    client.wait_for_ack("m1")
    assert [action.value for action in killable.router.actions] == ["0"]


def test_a_question_the_host_does_not_know_makes_a_number_an_ordinary_message(
    stage: Stage,
) -> None:
    client = stage.connect("window")
    stage.delivery.ask(question())

    client.say("2", "m1")
    client.say("1", "m2")

    assert stage.router.texts == ["2", "1"]
    assert len(stage.router.actions) == 1


def test_with_two_open_questions_a_number_is_an_ordinary_message(stage: Stage) -> None:
    client = stage.connect("window")
    other = replace(question(), delivery_id="d2", content=QUESTION.replace("q1", "q2"))
    stage.delivery.ask_all(question(), other)

    client.say("1", "m1")

    assert stage.router.texts == ["1"]
    assert stage.router.actions == []


def test_a_file_comes_by_its_path(stage: Stage) -> None:
    client = stage.connect("window")
    frame = with_file(stage, "report.txt", b"the bytes")

    stage.delivery.ask(frame)

    line = client.wait_for_text("see file")
    files = line["files"]
    assert isinstance(files, list)
    assert Path(files[0]["path"]).read_bytes() == b"the bytes"
    assert files[0]["name"] == "report.txt"
    wait_until(lambda: not list((stage.paths.channel("cli") / "spool/out").iterdir()))


def test_a_file_that_was_changed_is_not_handed_over_but_the_text_is(stage: Stage) -> None:
    client = stage.connect("window")
    frame = with_file(stage, "report.txt", b"the bytes")
    (stage.paths.channel("cli") / "spool/out/f1").write_bytes(b"thE bytes")

    stage.delivery.ask(frame)

    line = client.wait_for(lambda line: str(line.get("text", "")).startswith("see file\n[report"))
    assert "files" not in line


def question() -> Deliver:
    return replace(deliver("", "d1"), kind="chat-sdk", content=QUESTION)


def with_file(stage: Stage, name: str, data: bytes) -> Deliver:
    (stage.paths.channel("cli") / "spool/out/f1").write_bytes(data)
    spooled = SpoolFile(name, "f1", len(data), hashlib.sha256(data).hexdigest())
    return replace(deliver("see file", "d1"), files=(spooled,))
