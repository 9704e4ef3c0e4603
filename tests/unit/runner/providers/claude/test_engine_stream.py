import contextlib
import json
from itertools import pairwise
from typing import Any

import pytest
from helpers.messages_api.answers import Answer, answer, say, search, summary, think, use
from helpers.messages_api.stream import encode, events
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.providers.claude.message import MalformedStreamError, MessageBuilder, Response
from runner.providers.claude.sse import EventSplitter, OversizedStreamError, ServerEvent


def split(data: bytes, *cuts: int) -> list[ServerEvent]:
    splitter, found = EventSplitter(), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += list(splitter.feed(data[start:end]))
    return found


def build(*stream: dict[str, Any]) -> Response | None:
    builder = MessageBuilder()
    for event in stream:
        builder.add(event)
    return builder.finish()


def whole(reply: Answer) -> list[dict[str, Any]]:
    return list(events(reply, "msg_1", "claude-x", {"input_tokens": 3}))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_found_whatever_ends_their_lines(end: bytes) -> None:
    data = end.join([b"event: one", b"data: 1", b"data: 2", b"", b": comment", b"data:3", b"", b""])

    assert split(data) == [ServerEvent("one", "1\n2"), ServerEvent("", "3")]


@given(st.lists(st.integers(0, 200), max_size=8))
@settings(deadline=None, max_examples=60)
def test_it_does_not_matter_where_the_chunks_are_torn(cuts: list[int]) -> None:
    data = "event: é\r\ndata: ü\r\n\r\nevent: b\ndata: x\n\nevent: c\rdata: y\r\r".encode()

    assert split(data, *cuts) == split(data)


def test_an_event_without_its_end_is_no_event() -> None:
    assert split(b"event: message_stop\ndata: {}\n") == []


def test_a_response_over_the_limit_is_cut_off() -> None:
    splitter = EventSplitter(limit=10)

    with pytest.raises(OversizedStreamError):
        list(splitter.feed(b"data: 1234567890"))


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=100)
def test_no_bytes_confuse_the_splitter(data: bytes) -> None:
    assert all(isinstance(event, ServerEvent) for event in split(data, 50, 51))


MESSAGES: dict[str, Answer] = {
    "text": answer("Grüße 🎉, a text of more than one delta"),
    "thinking and a call": answer(think("why"), "so", use("bash", command="ls -l\n", n=[1, None])),
    "a search of the server": answer(*search("q", ("title", "https://x")), say("found")),
    "a compaction": summary("short"),
    "an unknown block": answer({"type": "novelty", "deep": {"a": [1]}}, "text"),
    "a refusal": Answer(
        (), stop_reason="refusal", stop_details={"type": "refusal", "category": "bio"}
    ),
    "an empty call": answer(use("bash")),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_put_together_exactly_as_it_was(name: str) -> None:
    reply = MESSAGES[name]

    response = build(*whole(reply))

    assert response is not None
    expected = list(reply.blocks)
    if name == "a compaction":
        expected = [{**expected[0], "signature": None}]
    assert list(response.content) == expected
    assert (response.id, response.model) == ("msg_1", "claude-x")
    assert response.stop_reason == reply.stop_reason


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "an unknown block"])
def test_the_packages_own_accumulation_gives_the_same(name: str) -> None:
    from anthropic.lib.streaming._beta_messages import accumulate_event
    from anthropic.types.beta import BetaRawMessageStreamEvent
    from httpx2 import Headers
    from pydantic import TypeAdapter

    parse: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)
    stream = whole(MESSAGES[name])
    theirs: Any = None
    buffers: dict[int, bytes] = {}
    for event in stream:
        theirs = accumulate_event(
            event=parse.validate_python(event),
            current_snapshot=theirs,
            json_bufs=buffers,
            request_headers=Headers(),
        )

    ours = build(*stream)

    assert ours is not None
    echoed = theirs.model_dump(mode="json", exclude_unset=True)
    assert [dict(block) for block in ours.content] == echoed["content"]
    assert ours.stop_reason == echoed["stop_reason"]
    assert ours.usage["output_tokens"] == echoed["usage"]["output_tokens"]


@pytest.mark.parametrize("dropped", range(4))
def test_a_stream_with_a_hole_is_no_message(dropped: int) -> None:
    stream = whole(answer("x"))
    reason = next(i for i, event in enumerate(stream) if event["type"] == "message_delta")
    needed = [0, 1, 3, reason]

    def play() -> Response | None:
        return build(*(e for i, e in enumerate(stream) if i != needed[dropped]))

    with contextlib.suppress(MalformedStreamError):
        assert play() is None


@pytest.mark.parametrize("text", ['{"a": ', "[1]", '{"a": NaN}', "7", "{" * 5000])
def test_a_call_whose_input_is_no_object_is_marked(text: str) -> None:
    call = {**use("bash", call_id="toolu_1"), "partial_json": text}
    stream = whole(answer(call))

    response = build(*stream)

    assert response is not None
    assert response.broken_calls == {"toolu_1"}
    assert response.blocks("tool_use")[0]["input"] == {}


def test_totals_of_usage_replace_the_first_ones_and_nothing_else() -> None:
    stream = whole(answer("x"))
    stream[0]["message"]["usage"] = {"input_tokens": 5, "cache_read_input_tokens": 7}
    stream[-2]["usage"] = {"output_tokens": 9, "cache_read_input_tokens": None}

    response = build(*stream)

    assert response is not None
    assert response.usage == {
        "input_tokens": 5,
        "cache_read_input_tokens": 7,
        "output_tokens": 9,
    }


def test_halves_of_characters_that_meet_are_joined() -> None:
    stream = whole(answer("x"))
    stream[2:3] = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": half},
        }
        for half in ("\ud83c", "\udf89", "\udc00")
    ]

    response = build(*stream)

    assert response is not None
    assert response.text == "🎉\ufffd"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20_000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_KINDS = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "novelty",
    ]
)
_DELTAS = st.sampled_from(
    [
        "text_delta",
        "input_json_delta",
        "thinking_delta",
        "signature_delta",
        "citations_delta",
        "compaction_delta",
        "novel_delta",
    ]
)
_EVENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"type": _KINDS},
    optional={
        "index": st.integers(0, 1) | _VALUES,
        "message": st.just({"content": []}) | _VALUES,
        "content_block": st.just({"type": "text", "text": ""}) | _VALUES,
        "delta": st.fixed_dictionaries(
            {"type": _DELTAS},
            optional={"text": _VALUES, "partial_json": _VALUES, "citation": _VALUES},
        )
        | _VALUES,
        "usage": _VALUES,
    },
)


@given(st.lists(_EVENTS, max_size=8))
@settings(deadline=None, max_examples=150)
def test_no_stream_is_a_crash(stream: list[dict[str, Any]]) -> None:
    try:
        response = build({"type": "message_start", "message": {}}, *stream)
    except MalformedStreamError:
        return
    assert response is None or json.dumps(response.content) is not None


@given(st.text(max_size=80), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_any_text_survives_the_wire(text: str, chunk: int) -> None:
    reply = answer(say(text), chunk=chunk)
    data = b"".join(encode(event) for event in whole(reply))

    builder = MessageBuilder()
    for event in EventSplitter().feed(data):
        builder.add(json.loads(event.data))
    response = builder.finish()

    assert response is not None
    assert response.text == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
