import pytest

from nanoclaw.channels.cli.decide import Audience, Keep, Room, Show, decide_audience
from nanoclaw.channels.cli.lines import Place, Say
from nanoclaw.channels.cli.names import safe_name
from nanoclaw.channels.cli.translate import Asker, Sending, asker_of, to_event, to_reply
from nanoclaw.channels.part import Part
from nanoclaw.events import ReplyTarget

ROOM = Room(
    connected=("asker", "window"),
    listening=("window",),
    left_at={"gone": 0.0, "just left": 95.0},
    opened_at=0.0,
)
EMPTY = Room(connected=(), listening=(), left_at={"gone": 0.0, "just left": 95.0}, opened_at=90.0)
AT = "2026-11-21T08:00:00.000Z"


@pytest.mark.parametrize(
    ("asker", "room", "audience"),
    [
        pytest.param("asker", ROOM, Show(("asker",)), id="who asked and is here"),
        pytest.param("just left", ROOM, Keep("just left"), id="who may come back"),
        pytest.param("gone", ROOM, Show(("window",)), id="who does not come back"),
        pytest.param("never seen", ROOM, Show(("window",)), id="who never was here"),
        pytest.param(None, ROOM, Show(("window",)), id="nobody asked"),
        pytest.param(None, EMPTY, Keep(None), id="nobody asked, nobody here"),
        pytest.param("gone", EMPTY, Keep(None), id="gone, nobody here"),
        pytest.param("never seen", EMPTY, Keep("never seen"), id="just after a restart"),
    ],
)
def test_who_sees_a_reply(asker: str | None, room: Room, audience: Audience) -> None:
    assert decide_audience(asker, room, now=100.0) == audience


def test_a_plain_message_is_direct_and_always_meant() -> None:
    event = to_event(Say("hi", id="m1"), Sending("anon", False, "m1"), AT)

    assert (event.event_key, event.message_id, event.platform_id) == ("m1", "m1", "local")
    assert (event.is_mention, event.is_group, event.sender_id) == (True, False, "local")


def test_ids_of_a_named_client_are_its_own() -> None:
    event = to_event(Say("hi", id="m1"), Sending("window", True, "m1"), AT)

    assert (event.event_key, event.reply_hint) == ("window~m1", "window~m1")


def test_an_operators_message_does_not_guess_whether_the_chat_is_a_group() -> None:
    say = Say("hi", to=Place("x", "x:1"), reply_to=Place("cli", "local"), sender_id="cli:local")

    event = to_event(say, Sending("window", True, "cli-1"), AT)

    assert (event.is_group, event.sender_id) == (None, "local")
    assert event.answer_to == ReplyTarget("cli", "local")


@pytest.mark.parametrize(
    ("part", "asker"),
    [
        (Part(key="k"), Asker()),
        (Part(key="k", reply_hint="window~m1"), Asker()),
        (Part(key="k", reply_to="x", reply_hint="window~m1"), Asker("window", "m1")),
        (Part(key="k", reply_to="window~m1"), Asker("window", "m1")),
        (Part(key="k", reply_to="cli-1-abc"), Asker(None, "cli-1-abc")),
    ],
)
def test_whose_answer_a_part_is(part: Part, asker: Asker) -> None:
    assert asker_of(part) == asker


def test_a_reply_names_the_line_and_carries_remarks() -> None:
    part = Part(key="k", text="hi", reply_to="window~m1", completes=True, sent_at=AT)

    reply = to_reply(part, (), ("[lost]",))

    assert (reply.text, reply.id, reply.reply_to) == ("hi\n[lost]", "k", "m1")
    assert (reply.done, reply.at) == (True, AT)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.txt", "report.txt"),
        ("../../etc/passwd", "passwd"),
        ("a\\b\\c.txt", "c.txt"),
        ("..", ""),
        ("", ""),
        (".hidden", ".hidden"),
        ("a\x00b\nc.txt", "abc.txt"),
        ("x" * 300 + ".txt", "x" * 146 + ".txt"),
    ],
)
def test_names_of_files_stay_in_their_folder(name: str, safe: str) -> None:
    assert safe_name(name) == safe
