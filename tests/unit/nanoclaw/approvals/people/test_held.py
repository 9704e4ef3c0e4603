import sqlite3

import pytest
from helpers.central_rows import NOW
from helpers.people import Town, event_json, hold, released

from contract.jsontext import dump
from nanoclaw.approvals.held import Held, is_group_event, release, sender_of_event


def stored(content: object) -> str:
    return dump({"message": {"content": content}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(event_json("c", sender="9"), "telegram:9", id="bare id"),
        pytest.param(event_json("c", sender="telegram:9"), "telegram:9", id="namespaced"),
        pytest.param(event_json("c", sender="slack:9"), "telegram:slack:9", id="w5 other channel"),
        pytest.param(
            stored(dump({"author": {"userId": "9"}, "sender": "Bo"})), "telegram:9", id="author"
        ),
        pytest.param(stored(dump({"sender": "telegram:1"})), None, id="w5 name is no identity"),
        pytest.param(stored(dump({"senderId": 7})), None, id="number"),
        pytest.param(stored("no json"), None, id="broken content"),
        pytest.param(stored(7), None, id="content that is no text"),
        pytest.param("{}", None, id="no message"),
        pytest.param("broken", None, id="broken event"),
    ],
)
def test_sender_of_a_stored_event_is_known_by_id_only(text: str, expected: str | None) -> None:
    assert sender_of_event(text, "telegram") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (event_json("c", is_group=True), True),
        (event_json("c", is_group=False), False),
        (event_json("c"), None),
        ('{"message":{"isGroup":1}}', None),
        ("broken", None),
    ],
    ids=["group", "direct", "not said", "number", "broken"],
)
def test_event_says_whether_its_chat_is_a_group(text: str, expected: bool | None) -> None:
    assert is_group_event(text) is expected


@pytest.mark.parametrize("text", ["", "{}"])
def test_without_held_events_and_without_a_stored_one_nothing_goes_on(
    conn: sqlite3.Connection, town: Town, text: str
) -> None:
    assert release(conn, Held("nsa-1", "telegram", text, NOW), NOW) == 0
    assert released(conn) == []


def test_stored_event_is_not_repeated_when_it_is_held_in_the_log(
    conn: sqlite3.Connection, town: Town
) -> None:
    hold(conn, "nsa-1")

    assert release(conn, Held("nsa-1", "telegram", event_json("c"), NOW), NOW) == 1
    assert released(conn) == ["e-1"]
