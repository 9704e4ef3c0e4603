import pytest

from nanoclaw.channels.cli.lines import (
    Ack,
    ClientLine,
    FileRef,
    Got,
    Greeting,
    HostLine,
    Leave,
    Place,
    Reply,
    Say,
    Settled,
    Welcome,
    is_line_id,
    parse_client_line,
    parse_host_line,
    render_client_line,
    render_host_line,
)


@pytest.mark.parametrize(
    "line",
    [
        Greeting("window-1", listens=True, confirms=True, got=("a", "b")),
        Got("r1"),
        Say("hello"),
        Say("hello", id="m1", ack=True, sender="Ada", sender_id="telegram:1"),
        Say("hello", to=Place("telegram", "telegram:1", "7"), reply_to=Place("cli", "local")),
        Leave(),
    ],
)
def test_client_lines_survive_the_way(line: ClientLine) -> None:
    raw = render_client_line(line)

    assert parse_client_line(raw) == line
    assert raw.count(b"\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        Reply("hi"),
        Reply("hi", id="r1", reply_to="m1", done=True, at="2026-11-21T08:00:00.000Z"),
        Reply("note", notice=True),
        Reply("", id="r1", files=(FileRef("a.txt", "/x/a.txt", 3),)),
        Ack("m1", "ignored", "nobody is wired"),
        Settled(("r1", "r2")),
        Welcome(says_done=True),
    ],
)
def test_host_lines_survive_the_way(line: HostLine) -> None:
    raw = render_host_line(line)

    assert parse_host_line(raw) == line
    assert raw.count(b"\n") == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"\xff",
        b"[]",
        b"{}",
        b'{"text":""}',
        b'{"text":5}',
        b'{"client":""}',
        b'{"client":"a b"}',
        b'{"client":5}',
        b'{"got":5}',
        b'{"leave":1}',
        b'{"text":"x","a":' + b"[" * 20 + b"]" * 20 + b"}",
    ],
)
def test_what_is_no_line_of_a_client_is_none(raw: bytes) -> None:
    assert parse_client_line(raw) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"news":1}', b'{"text":null}', b'{"ack":1}'])
def test_what_is_no_line_of_a_host_is_none(raw: bytes) -> None:
    assert parse_host_line(raw) is None


def test_unknown_fields_are_ignored() -> None:
    assert parse_client_line(b'{"text":"x","later":[1]}') == Say("x")


def test_a_number_as_id_is_text() -> None:
    assert parse_client_line(b'{"text":"x","id":7}') == Say("x", id="7")


def test_a_message_may_introduce_its_client() -> None:
    say = parse_client_line(b'{"text":"x","client":"me","listen":false}')

    assert isinstance(say, Say)
    assert say.greeting == Greeting("me")


def test_an_address_that_is_not_complete_counts_as_absent() -> None:
    say = parse_client_line(b'{"text":"x","to":{"channelType":"a"},"reply_to":"b"}')

    assert say == Say("x")


def test_files_that_make_no_sense_are_left_out() -> None:
    raw = b'{"text":"x","files":[1,{"name":"a"},{"name":"a","path":"/a","size":1}]}'

    assert parse_host_line(raw) == Reply("x", files=(FileRef("a", "/a", 1),))


@pytest.mark.parametrize(
    ("text", "usable"),
    [("m1", True), ("a.b:c_d-e", True), ("", False), ("a b", False), ("x" * 129, False)],
)
def test_ids_that_can_be_event_keys(text: str, usable: bool) -> None:
    assert is_line_id(text) is usable
