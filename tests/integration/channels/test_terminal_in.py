import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_terminal import RawClient
from helpers.channel_worker import Stage, open_stage
from helpers.waiting import wait_until

from nanoclaw.events import Outcome, ReplyTarget


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Stage]:
    """The worker is a process of its own."""
    with open_stage(tmp_path / "home", process=True) as opened:
        yield opened


@pytest.fixture
def client(stage: Stage) -> RawClient:
    return stage.connect()


def test_the_socket_is_private(stage: Stage) -> None:
    assert stage.paths.socket("cli").stat().st_mode & 0o777 == 0o600


def test_a_plain_line_becomes_a_message_in_the_local_chat(stage: Stage, client: RawClient) -> None:
    client.write(text="hello")

    wait_until(lambda: stage.router.events)
    event = stage.router.events[0]
    assert (event.platform_id, event.thread_id, event.channel_type) == ("local", None, None)
    assert (event.sender_id, event.sender_name, event.text) == ("local", "cli", "hello")
    assert (event.is_mention, event.is_group, event.kind) == (True, False, "chat")
    assert event.message_id.startswith("cli-")


def test_an_operator_may_name_the_chat_and_where_the_answer_goes(
    stage: Stage, client: RawClient
) -> None:
    client.write(
        text="hello",
        to={"channelType": "telegram", "platformId": "telegram:1", "threadId": "7"},
        reply_to={"channelType": "cli", "platformId": "local"},
        sender="Ada",
        senderId="telegram:42",
    )

    wait_until(lambda: stage.router.events)
    event = stage.router.events[0]
    assert (event.channel_type, event.platform_id) == ("telegram", "telegram:1")
    assert event.thread_id == "7"
    assert event.answer_to == ReplyTarget("cli", "local")
    assert (event.sender_name, event.sender_id) == ("Ada", "telegram:42")


def test_an_incomplete_address_counts_as_absent(stage: Stage, client: RawClient) -> None:
    client.write(text="hello", to={"channelType": "telegram"})

    wait_until(lambda: stage.router.events)
    assert stage.router.events[0].platform_id == "local"


def test_garbage_is_ignored_and_the_next_line_works(stage: Stage, client: RawClient) -> None:
    client.write_raw(b"no json\n\xff\xfe\n[1]\n\n{}\n" + b'{"text":""}\n{"text":5}\n')
    client.write_raw(b'{"client":"not a name"}\n' + b"[" * 5000 + b"\n")
    client.write(text="hello")

    wait_until(lambda: stage.router.events)
    assert stage.router.texts == ["hello"]
    assert "line ignored" in stage.worker.log()


def test_a_line_over_the_limit_is_dropped_and_the_next_one_works(
    stage: Stage, client: RawClient
) -> None:
    too_long = json.dumps({"text": "x" * (1024 * 1024)}).encode()
    client.write_raw(too_long + b"\n" + too_long * 3 + b"\n")
    client.write(text="hello")

    wait_until(lambda: stage.router.events)
    assert stage.router.texts == ["hello"]
    assert "line too long" in stage.worker.log()


def test_a_message_that_fits_no_frame_is_rejected_in_words(stage: Stage, client: RawClient) -> None:
    client.write(text="\u0001" * 170_000, id="big", ack=True)  # six bytes each as JSON

    assert client.wait_for_ack("big")["outcome"] == "routed"
    line = b'{"id":"bigger","ack":true,"text":"' + b"x" * (1024 * 1024 - 60) + b'"}\n'
    client.write_raw(line)
    ack = client.wait_for_ack("bigger")
    assert (ack["outcome"], ack["reason"]) == ("rejected", "the message is too large")


def test_the_acknowledgement_carries_what_the_router_decided(
    stage: Stage, client: RawClient
) -> None:
    stage.router.outcome, stage.router.reason = Outcome.IGNORED, "no agent is wired to this chat"

    client.write(text="hello", id="m1", ack=True)

    ack = client.wait_for_ack("m1")
    assert (ack["outcome"], ack["reason"]) == ("ignored", "no agent is wired to this chat")


def test_nothing_is_acknowledged_before_the_router_has_committed(
    stage: Stage, client: RawClient
) -> None:
    stage.router.silent = True
    client.write(text="hello", id="m1", ack=True)
    wait_until(lambda: stage.router.received)

    assert not [line for line in client.lines if "ack" in line]


def test_a_repeated_line_is_one_message(stage: Stage, client: RawClient) -> None:
    client.say("hello", "m1")

    client.write(text="hello", id="m1", ack=True)

    wait_until(lambda: len(stage.router.received) == 2)
    assert stage.router.texts == ["hello"]
    wait_until(lambda: [line for line in client.lines if line.get("outcome") == "duplicate"])


def test_the_same_id_of_two_named_clients_is_two_messages(stage: Stage) -> None:
    first, second = stage.connect("first"), stage.connect("second")

    first.say("from the first", "1")
    second.say("from the second", "1")

    assert stage.router.texts == ["from the first", "from the second"]


def test_a_client_may_give_its_name_along_with_a_message(stage: Stage, client: RawClient) -> None:
    client.write(text="hello", id="m1", ack=True, client="simple")

    client.wait_for_ack("m1")
    assert stage.router.events[0].reply_hint == "simple~m1"


def test_an_unusable_id_is_refused_in_words(stage: Stage, client: RawClient) -> None:
    client.write(text="hello", id="no blanks please", ack=True)

    assert client.wait_for_ack("no blanks please")["outcome"] == "rejected"
    assert stage.router.received == []


def test_a_message_waits_for_a_router_that_is_away(stage: Stage, client: RawClient) -> None:
    stage.router.close()
    client.write(text="one", id="m1", ack=True)
    client.write(text="two", id="m2", ack=True)

    stage.router.open()

    client.wait_for_ack("m2")
    assert stage.router.texts == ["one", "two"]


def test_events_under_way_when_the_router_dies_arrive_once_and_in_order(
    stage: Stage, client: RawClient
) -> None:
    stage.router.silent = True
    for number in range(20):
        client.write(text=str(number), id=f"m{number}", ack=True)
    wait_until(lambda: len(stage.router.received) == 20)
    stage.router.close()
    stage.router.silent = False

    stage.router.open()

    client.wait_for_ack("m19")
    assert stage.router.texts == [str(number) for number in range(20)]


def test_a_router_that_cannot_store_is_asked_again(stage: Stage, client: RawClient) -> None:
    stage.router.refusing = True
    client.write(text="hello", id="m1", ack=True)
    wait_until(lambda: stage.router.received)

    stage.router.refusing = False

    client.wait_for_ack("m1")
    assert stage.router.texts == ["hello"]


def test_a_worker_killed_before_its_answer_gets_the_line_again(killable: Stage) -> None:
    killable.router.silent = True
    client = killable.connect("window")
    client.write(text="hello", id="m1", ack=True)
    wait_until(lambda: killable.router.received)
    killable.worker.kill()
    killable.router.silent = False
    killable.worker.start()

    again = killable.connect("window")
    again.say("hello", "m1")

    assert killable.router.texts == ["hello"]
    assert {event.event_key for event in killable.router.received} == {"window~m1"}


def test_a_burst_of_several_clients_arrives_complete_and_in_order(stage: Stage) -> None:
    clients = [stage.connect(f"client-{number}") for number in range(4)]
    for number in range(100):
        for client in clients:
            client.write(text=str(number), id=f"m{number}", ack=True)

    for client in clients:
        client.wait_for_ack("m99", within=20)

    for number in range(4):
        own = [e.text for e in stage.router.events if e.event_key.startswith(f"client-{number}~")]
        assert own == [str(index) for index in range(100)]


def test_a_flood_without_router_neither_loses_nor_blocks(stage: Stage) -> None:
    stage.router.close()
    flood, other = stage.connect("flood"), stage.connect("other")
    for number in range(300):
        flood.write(text=str(number), id=f"m{number}", ack=True)
    other.write(text="me too", id="o1", ack=True)

    stage.router.open()

    flood.wait_for_ack("m299", within=20)
    other.wait_for_ack("o1")
    flooded = [event.text for event in stage.router.events if event.event_key.startswith("flood~")]
    assert flooded == [str(number) for number in range(300)]


def test_the_65th_client_is_turned_away_and_the_others_stay(stage: Stage) -> None:
    clients = [stage.connect(f"client-{number}") for number in range(64)]

    late = stage.connect()

    wait_until(lambda: late.ended)
    assert late.notices == ["There are 64 clients already."]
    clients[0].say("still here", "m1")


def test_the_worker_introduces_itself_with_its_capabilities(stage: Stage) -> None:
    wait_until(lambda: stage.router.hello)
    hello = stage.router.hello

    assert hello is not None
    assert (hello.name, hello.kind) == ("cli", "cli")
    assert hello.capabilities is not None
    assert not hello.capabilities.supports_threads


def test_a_second_instance_has_its_own_name_and_socket(tmp_path: Path) -> None:
    with open_stage(tmp_path / "home", instance="cli-work") as stage:
        client = stage.connect()

        client.say("hello", "m1")

        assert stage.router.hello is not None
        assert (stage.router.hello.name, stage.router.hello.kind) == ("cli-work", "cli")


def test_a_stopped_worker_leaves_no_socket_and_says_so(killable: Stage) -> None:
    assert killable.worker.stop() == 0

    assert not killable.paths.socket("cli").exists()
    assert not killable.paths.socket("channel-cli").exists()
    state = killable.worker.state()
    assert state is not None
    assert state.state == "stopped"


def test_an_unwritable_place_for_the_socket_is_one_clear_line(tmp_path: Path) -> None:
    with open_stage(tmp_path / "home", process=True) as stage:
        stage.worker.stop()
        stage.paths.socket("cli").mkdir()

        stage.worker.start(connected=False)

        assert stage.worker.wait_for_death() == 78
        assert "cannot listen on" in stage.worker.log()
