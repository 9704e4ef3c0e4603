import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.events import Attachment, InboundEvent, Quoted, ReplyTarget
from nanoclaw.routing.arrival import Arrival, UnreadableEventError, dump_arrival, parse_arrival
from nanoclaw.routing.content import render_content

EVENT = InboundEvent(
    "key-1", "m-1", "telegram:5", "77", "2026-11-21T10:00:00.000Z", text="hello", thread_id="t-1"
)
RICH = replace(
    EVENT,
    is_mention=True,
    is_group=False,
    sender_name="Ann",
    attachments=(Attachment("image", "a.jpg", "image/jpeg", 3, "file-1", "ab"),),
    reply_to=Quoted("m-0", "Bob", "before"),
    extra_json='{"x":1}',
    answer_to=ReplyTarget("cli", "local"),
)


@pytest.mark.parametrize("event", [EVENT, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("agents", [None, frozenset(), frozenset({"ag-1", "ag-2"})])
def test_event_that_waits_comes_back_as_it_was(
    event: InboundEvent, agents: frozenset[str] | None
) -> None:
    arrival = Arrival("telegram-work", True, event, "telegram")

    stored = dump_arrival(arrival, agents)

    assert parse_arrival(stored, "telegram-work", "key-1") == replace(arrival, only_for=agents)


def test_stored_text_has_the_form_that_approvals_keep() -> None:
    value = json.loads(dump_arrival(Arrival("telegram", False, RICH)))

    del value["nanoclaw"]
    content = json.loads(value["message"].pop("content"))
    assert value == {
        "channelType": "telegram",
        "platformId": "telegram:5",
        "threadId": None,
        "message": {
            "id": "m-1",
            "kind": "chat",
            "timestamp": "2026-11-21T10:00:00.000Z",
            "isMention": True,
            "isGroup": False,
        },
        "replyTo": {"channelType": "cli", "platformId": "local", "threadId": None},
    }
    assert content["senderId"] == "telegram:77"


def test_event_of_the_earlier_program_is_read_without_believing_in_names() -> None:
    content = {"text": "hi", "sender": "telegram:1", "author": {"userId": "9"}, "_type": "x"}
    message = {"id": "5", "kind": "chat-sdk", "content": json.dumps(content), "timestamp": "t"}
    stored = {"channelType": "slack", "platformId": "C1", "threadId": "T", "message": message}

    arrival = parse_arrival(json.dumps(stored), "slack", "held/1")

    assert arrival.user_id == "slack:9"
    assert (arrival.event.event_key, arrival.event.message_id) == ("held/1", "5")
    assert arrival.thread_id == "T"
    assert arrival.event.text == "hi"


def test_plain_text_content_of_the_earlier_program_is_the_text() -> None:
    stored = {"platformId": "C1", "message": {"id": "5", "content": "just words"}}

    arrival = parse_arrival(json.dumps(stored), "slack", "k")

    assert (arrival.event.text, arrival.event.sender_id) == ("just words", "")


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40) | st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: st.dictionaries(
        st.sampled_from(["message", "nanoclaw", "content", "frame", "replyTo", "platformId"]), inner
    ),
    max_leaves=8,
).map(json.dumps))  # fmt: skip
def test_any_stored_text_is_an_event_or_is_refused(text: str) -> None:
    try:
        arrival = parse_arrival(text, "slack", "k")
    except UnreadableEventError:
        return
    assert arrival.instance == "slack"


def test_operator_speaks_where_he_says_but_as_himself() -> None:
    arrival = Arrival("cli", False, replace(EVENT, channel_type="telegram"), "cli")

    assert (arrival.channel_type, arrival.user_id) == ("telegram", "cli:77")
    assert arrival.is_operator


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            replace(EVENT, sender_name="Ann", text="Grüße"),
            '{"text":"Grüße","sender":"Ann","senderId":"telegram:77","senderName":"Ann"}',
        ),
        (
            replace(EVENT, extra_json='{"senderId":"x","text":"y","author":{},"more":[1]}'),
            '{"text":"hello","sender":"77","senderId":"telegram:77","more":[1]}',
        ),
        (
            replace(EVENT, kind="chat-sdk", extra_json='{"author":{"userId":"77"},"event":"edit"}'),
            '{"text":"hello","sender":"77","senderId":"telegram:77","author":{"userId":"77"}}',
        ),
        (
            replace(EVENT, kind="webhook", text="", extra_json='{"event":"push","payload":1}'),
            '{"text":"","sender":"77","senderId":"telegram:77","event":"push","payload":1}',
        ),
        (replace(EVENT, extra_json="[broken"),
         '{"text":"hello","sender":"77","senderId":"telegram:77"}'),
        (replace(EVENT, edited=True),
         '{"event":"edit","messageId":"m-1","text":"hello","sender":"77","senderId":"telegram:77"}'),
        (replace(EVENT, reaction="x", reaction_removed=True),
         '{"event":"reaction","messageId":"m-1","emoji":"x","sender":"77",'
         '"senderId":"telegram:77","removed":true}'),
    ],
    ids=["name", "extras", "bridge", "webhook", "broken extras", "edit", "reaction"],
)  # fmt: skip
def test_content_is_compact_and_its_own_keys_cannot_be_replaced(
    event: InboundEvent, expected: str
) -> None:
    assert render_content(event, "telegram:77") == expected
