import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, seconds

from nanoclaw.db import inbound_events
from nanoclaw.db.inbound_events import NewInboundEvent, StoredOutcome
from nanoclaw.model import EventState

EVENT = NewInboundEvent("telegram", "chat:7", NOW, "routed", targets_json='{"rows":[]}')


def test_event_is_taken_once_per_instance_and_key(conn: sqlite3.Connection) -> None:
    first = inbound_events.insert(conn, EVENT)

    assert first is not None
    assert inbound_events.insert(conn, EVENT) is None
    assert inbound_events.insert(conn, replace(EVENT, instance="telegram-work")) is not None
    assert inbound_events.insert(conn, replace(EVENT, event_key="chat:8")) is not None


def test_outcome_of_a_seen_event_is_known(conn: sqlite3.Connection) -> None:
    event_id = inbound_events.insert(
        conn, replace(EVENT, outcome="ignored", reason="not meant", targets_json=None)
    )

    assert event_id is not None
    stored = inbound_events.outcome_of(conn, "telegram", "chat:7")
    assert stored == StoredOutcome(event_id, "ignored", "not meant")
    assert inbound_events.outcome_of(conn, "telegram", "chat:9") is None


def test_event_without_targets_needs_no_routing(conn: sqlite3.Connection) -> None:
    inbound_events.insert(conn, replace(EVENT, outcome="ignored", targets_json=None))

    assert inbound_events.unrouted(conn, 10) == []


def test_unrouted_events_come_oldest_first_and_in_pages(conn: sqlite3.Connection) -> None:
    for number in range(5):
        inbound_events.insert(conn, replace(EVENT, event_key=f"chat:{number}"))

    first = inbound_events.unrouted(conn, 2)
    second = inbound_events.unrouted(conn, 10, after=first[-1].event_id)

    assert [event.event_key for event in first] == ["chat:0", "chat:1"]
    assert [event.event_key for event in second] == ["chat:2", "chat:3", "chat:4"]
    assert first[0].state is EventState.COMMITTED
    assert first[0].received_at == NOW


def test_routed_events_are_not_replayed(conn: sqlite3.Connection) -> None:
    ids = [inbound_events.insert(conn, replace(EVENT, event_key=str(n))) for n in range(3)]

    inbound_events.mark_routed(conn, [event_id for event_id in ids[:2] if event_id])

    assert [event.event_key for event in inbound_events.unrouted(conn, 10)] == ["2"]
    assert ids[0] is not None
    kept = inbound_events.get(conn, ids[0])
    assert kept is not None
    assert kept.state is EventState.ROUTED


def test_pruning_keeps_what_is_not_routed_and_what_is_young(conn: sqlite3.Connection) -> None:
    old = NOW - seconds(1000)
    waiting = inbound_events.insert(conn, replace(EVENT, received_at=old, event_key="waiting"))
    inbound_events.insert(
        conn, replace(EVENT, received_at=old, event_key="done", targets_json=None)
    )
    inbound_events.insert(conn, replace(EVENT, event_key="young", targets_json=None))

    assert inbound_events.prune(conn, NOW - seconds(10)) == 1
    assert inbound_events.outcome_of(conn, "telegram", "done") is None
    assert inbound_events.outcome_of(conn, "telegram", "young") is not None
    assert [event.event_id for event in inbound_events.unrouted(conn, 10)] == [waiting]


def test_pruning_is_bounded(conn: sqlite3.Connection) -> None:
    for number in range(5):
        inbound_events.insert(conn, replace(EVENT, event_key=str(number), targets_json=None))

    assert inbound_events.prune(conn, NOW + seconds(1), 3) == 3
    assert inbound_events.prune(conn, NOW + seconds(1), 3) == 2


def test_outcome_outside_the_closed_set_is_refused(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        inbound_events.insert(conn, replace(EVENT, outcome="lost"))
