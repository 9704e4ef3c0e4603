import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("words", [None, (), ("groups", "get", "ag-1-2")])
def test_n11_words_travel_beside_the_command(words: tuple[str, ...] | None) -> None:
    request = Request("1", "groups-get-ag-1-2", {}, words)

    assert parse_request(dump_request(request)) == request


@pytest.mark.parametrize("words", ["groups", {"a": 1}, ["groups", 1], 5])
def test_words_of_the_wrong_shape_count_as_absent(words: object) -> None:
    line = json.dumps({"id": "1", "command": "x", "args": {}, "positionals": words})

    assert parse_request(line.encode()).positionals is None


def test_text_that_utf8_cannot_say_does_no_harm() -> None:
    line = dump_response(Failure("\ud800", "x", "\udfff"))

    assert line.endswith(b"\n")
    assert isinstance(parse_response(line), Failure)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["id", "command", "args", "positionals", "x"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_line_is_a_request_or_a_bad_frame(line: bytes) -> None:
    try:
        request = parse_request(line)
    except BadFrameError as error:
        assert "bad frame" in str(error)
    else:
        assert all(isinstance(value, str | bool) for value in request.args.values())
