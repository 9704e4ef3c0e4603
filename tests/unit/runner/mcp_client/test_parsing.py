import asyncio
import json
import logging
from typing import Any

import mcp_types as types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mcp_client.failure import LostError, in_words
from runner.mcp_client.source import call_seconds
from runner.mcp_client.stderr import LINES_PER_WINDOW, MAX_LINE, ErrorOutput
from runner.mcp_client.stdio import MAX_DEPTH, parse_line
from runner.mcp_client.tools import read_arguments


def parsed(text: str | bytes) -> types.JSONRPCMessage | None:
    item = parse_line(text if isinstance(text, bytes) else text.encode())
    return None if item is None else item.message


def test_a_message_is_read() -> None:
    message = parsed('{"jsonrpc":"2.0","id":1,"result":{"a":"ä"}}')

    assert isinstance(message, types.JSONRPCResponse)
    assert message.result == {"a": "ä"}


def test_half_a_character_is_left_out() -> None:
    message = parsed('{"jsonrpc":"2.0","id":1,"result":{"a":"x\\ud83dy","b":"\\ud83d\\ude00"}}')

    assert isinstance(message, types.JSONRPCResponse)
    assert message.result == {"a": "xy", "b": "😀"}


def test_invalid_bytes_are_replaced() -> None:
    message = parsed(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}')

    assert isinstance(message, types.JSONRPCResponse)
    assert message.result == {"a": "\ufffd"}


def test_what_is_nested_without_end_is_cut() -> None:
    deep = "[" * (MAX_DEPTH * 3) + "]" * (MAX_DEPTH * 3)

    message = parsed(f'{{"jsonrpc":"2.0","id":1,"result":{{"a":{deep}}}}}')

    assert isinstance(message, types.JSONRPCResponse)
    assert json.dumps(message.result).count("[") < MAX_DEPTH


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","id":17,"result":{"a":' + "[" * 100_000 + "}",
        '{"jsonrpc":"2.0","result":nonsense,"id":17}',
        '{"jsonrpc":"1.0", "id" : 17, "result":{}}',
    ],
)
def test_an_answer_that_cannot_be_read_becomes_an_error_for_who_waits(text: str) -> None:
    message = parsed(text)

    assert isinstance(message, types.JSONRPCError)
    assert message.id == 17
    assert message.error.message == "its answer cannot be read"


@pytest.mark.parametrize("text", ["", "hello", "[1]", "{}", '{"a":1}', "null", "42"])
def test_what_is_no_message_is_none(text: str) -> None:
    assert parsed(text) is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: f'{{"id":1,{text}'.encode()))
def test_any_line_is_read_without_failing(line: bytes) -> None:
    parse_line(line)


def said(data: bytes, caplog: pytest.LogCaptureFixture) -> tuple[list[str], ErrorOutput]:
    caplog.set_level(logging.INFO)
    output = ErrorOutput(logging.getLogger("runner.mcp.fake"))

    async def scenario() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        await output.read(stream)

    asyncio.run(scenario())
    return [record.getMessage() for record in caplog.records if "says" in record.msg], output


def test_lines_of_error_output_are_logged_clean(caplog: pytest.LogCaptureFixture) -> None:
    lines, output = said(b"one\n\x1b[31mtwo\x1b[0m\x07\r\n\n\xffthree", caplog)

    assert lines == ["says: one", "says: two", "says: \ufffdthree"]
    assert output.last_words == "\ufffdthree"


def test_long_and_many_lines_of_error_output_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    lines, _ = said(b"x" * 50_000 + b"\n" + b"line\n" * 500, caplog)

    assert len(lines) == LINES_PER_WINDOW
    assert max(len(line) for line in lines) <= MAX_LINE + len("says: ")


def test_errors_are_told_in_one_line() -> None:
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [OSError("no\nroute\x00")])])

    assert in_words(group) == "no route"
    assert in_words(TimeoutError()) == "it did not answer in time"
    assert in_words(FileNotFoundError(2, "No such file", "prog")) == "prog was not found"
    assert in_words(PermissionError(13, "Denied", "prog")) == "prog may not be started"
    assert in_words(ValueError()) == "ValueError"
    assert in_words(LostError("gone")) == "gone"
    assert len(in_words(ValueError("x" * 5000))) <= 400


@pytest.mark.parametrize(
    ("configured", "seconds"), [(None, 120), (0, 120), (-1, 120), (5, 5), (5000, 600)]
)
def test_the_limit_of_a_call_stays_within_bounds(configured: float | None, seconds: float) -> None:
    assert call_seconds(configured) == seconds


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (None, {}),
        ("", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", None),
        ("{", None),
        ([1], None),
        (3, None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_taken_as_object_or_as_its_text(given_value: Any, expected: Any) -> None:
    assert read_arguments(given_value) == expected
