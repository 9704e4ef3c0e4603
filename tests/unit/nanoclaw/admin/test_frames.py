import json

import pytest

from nanoclaw.admin.dispatch import Dispatcher
from nanoclaw.admin.frames import (
    BadFrameError,
    Failure,
    Request,
    Response,
    Success,
    dump_request,
    dump_response,
    parse_request,
    parse_response,
)
from nanoclaw.admin.overview import Pong
from nanoclaw.errors import StateError


def test_request_survives_the_wire() -> None:
    request = Request("1", "groups-list", {"limit": "5", "verbose": True})

    assert parse_request(dump_request(request)) == request
    assert dump_request(request).count(b"\n") == 1


@pytest.mark.parametrize(
    "response",
    [Success("1", {"a": [1, None]}), Success("1", None), Failure("1", "not-found", "no ü here")],
)
def test_response_survives_the_wire(response: Response) -> None:
    assert parse_response(dump_response(response)) == response


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"id":"1","command":"x","args":null}',
        b'{"id":"1","command":2,"args":{}}',
        b'{"id":1,"command":"x","args":{}}',
    ],
)
def test_line_of_the_wrong_shape_is_a_bad_frame(line: bytes) -> None:
    with pytest.raises(BadFrameError, match="bad frame"):
        parse_request(line)


def test_flags_that_are_neither_text_nor_true_are_left_out() -> None:
    line = json.dumps({"id": "1", "command": "x", "args": {"a": "1", "b": True, "c": {}, "d": 4}})

    assert parse_request(line.encode()).args == {"a": "1", "b": True}


@pytest.mark.parametrize("line", [b"", b"[]", b'{"id":"1"}', b'{"ok":false,"error":"no"}'])
def test_senseless_answer_is_malformed(line: bytes) -> None:
    with pytest.raises(BadFrameError, match="malformed response from host"):
        parse_response(line)


def test_dispatcher_answers_with_plain_values() -> None:
    dispatcher = Dispatcher({"ping": lambda _: Pong("1.0", 7)})

    answer = dispatcher.handle(Request("9", "ping"))

    assert answer == Success("9", {"version": "1.0", "pid": 7})


def test_error_of_a_command_is_its_answer_and_nothing_more() -> None:
    def refuse(_: Request) -> object:
        raise StateError("the database is busy")

    def crash(_: Request) -> object:
        raise KeyError("x")

    dispatcher = Dispatcher({"refuse": refuse, "crash": crash})

    assert dispatcher.handle(Request("1", "refuse")) == Failure(
        "1", "handler-error", "the database is busy"
    )
    assert dispatcher.handle(Request("1", "crash")) == Failure(
        "1", "handler-error", "KeyError: 'x'"
    )
    unknown = dispatcher.handle(Request("1", "dance" * 100))
    assert isinstance(unknown, Failure)
    assert unknown.code == "unknown-command"
    assert "crash, refuse" in unknown.message
