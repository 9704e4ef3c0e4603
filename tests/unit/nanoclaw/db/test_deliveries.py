import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_session, new_delivery, queue, seconds, seed

from nanoclaw.db import deliveries, delivery_history
from nanoclaw.model import Delivery, DeliverySource, DeliveryState, NewDelivery, SentReceipt

HOST_MADE = replace(
    new_delivery(session_id=None),
    delivery_id="deny-1",
    message_out_id="deny-1",
    source=DeliverySource.HOST,
)


@pytest.fixture(autouse=True)
def _seeded(conn: sqlite3.Connection) -> None:
    seed(conn)


def stored(conn: sqlite3.Connection, new: NewDelivery | Delivery) -> Delivery:
    found = deliveries.get(conn, new.delivery_id)
    assert found is not None
    return found


def lane(conn: sqlite3.Connection, thread_id: str | None = None, after: int = 0) -> list[str]:
    window = deliveries.Window(after, 100, NOW)
    found = deliveries.open_in_lane(conn, "telegram", "platform-mg-1", thread_id, window)
    return [delivery.message_out_id for delivery in found]


def test_queued_message_is_stored_as_it_was_given(conn: sqlite3.Connection) -> None:
    new = replace(
        new_delivery(), thread_id="t", in_reply_to="in-1", reply_hint="h", completes=True,
        reply_to_message_id="42",
    )  # fmt: skip

    delivery = queue(conn, new)

    assert delivery == stored(conn, new)
    for field in ("session_id", "seq", "thread_id", "content", "in_reply_to", "reply_hint",
                  "reply_to_message_id", "completes", "expires_at", "next_attempt_at"):  # fmt: skip
        assert getattr(delivery, field) == getattr(new, field)
    assert (delivery.state, delivery.attempts) == (DeliveryState.QUEUED, 0)
    assert delivery.platform_message_ids == ()


def test_message_is_queued_once(conn: sqlite3.Connection) -> None:
    queue(conn, new_delivery())

    assert deliveries.queue(conn, new_delivery()) is None
    assert deliveries.queue(conn, replace(new_delivery(), delivery_id="other")) is None
    assert lane(conn) == ["out-1"]


def test_host_made_message_needs_no_session(conn: sqlite3.Connection) -> None:
    assert queue(conn, HOST_MADE).session_id is None

    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE deliveries SET source = 'agent'")


def test_due_messages_come_longest_waiting_first(conn: sqlite3.Connection) -> None:
    queue(conn, replace(new_delivery(1), next_attempt_at=NOW + seconds(60)))
    queue(conn, new_delivery(2))
    queue(conn, replace(new_delivery(3), next_attempt_at=NOW - seconds(5)))

    due = deliveries.due(conn, NOW, 10)

    assert [delivery.message_out_id for delivery in due] == ["out-3", "out-2"]


def test_lane_keeps_the_order_of_queueing(conn: sqlite3.Connection) -> None:
    first = queue(conn, new_delivery(1))
    deliveries.mark_retry(
        conn, first.delivery_id, NOW + seconds(60), counts=True, error="busy", now=NOW
    )
    queue(conn, new_delivery(2))
    queue(conn, replace(new_delivery(3), thread_id="topic"))

    assert lane(conn) == ["out-1", "out-2"]
    assert lane(conn, after=first.row_number) == ["out-2"]
    assert lane(conn, "topic") == ["out-3"]
    assert sorted(deliveries.open_lanes(conn), key=str) == [
        ("telegram", "platform-mg-1", "topic"),
        ("telegram", "platform-mg-1", None),
    ]


def test_sent_message_leaves_its_lane_and_keeps_its_ids(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, new_delivery())
    deliveries.mark_sending(conn, [delivery.delivery_id], NOW)

    assert stored(conn, delivery).state is DeliveryState.SENDING
    assert deliveries.due(conn, NOW, 10) == []
    assert lane(conn) == ["out-1"]

    deliveries.mark_sent(conn, delivery.delivery_id, ("m1", "m2"), NOW + seconds(1))
    sent = stored(conn, delivery)

    assert (sent.state, sent.attempts) == (DeliveryState.SENT, 1)
    assert sent.platform_message_ids == ("m1", "m2")
    assert sent.updated_at == NOW + seconds(1)
    assert deliveries.open_lanes(conn) == []


def test_many_receipts_are_written_at_once(conn: sqlite3.Connection) -> None:
    queued = [queue(conn, new_delivery(number)) for number in (1, 2, 3)]
    receipts = [SentReceipt(item.delivery_id, (item.message_out_id,)) for item in queued[:2]]

    deliveries.mark_sent_many(conn, receipts, NOW)

    assert lane(conn) == ["out-3"]
    assert stored(conn, queued[1]).platform_message_ids == ("out-2",)


def test_failed_try_waits_and_is_counted(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, new_delivery())
    deliveries.mark_sending(conn, [delivery.delivery_id], NOW)

    later = deliveries.mark_retry(
        conn, delivery.delivery_id, NOW + seconds(5), counts=True, error="500", now=NOW
    )

    assert later == stored(conn, delivery)
    assert (later.state, later.attempts, later.last_error) == (DeliveryState.QUEUED, 1, "500")
    assert later.next_attempt_at == NOW + seconds(5)


def test_absent_channel_is_no_attempt(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, new_delivery())

    later = deliveries.mark_retry(
        conn, delivery.delivery_id, NOW, counts=False, error="offline", now=NOW
    )

    assert later.attempts == 0


def test_retrying_an_unknown_message_is_an_error(conn: sqlite3.Connection) -> None:
    with pytest.raises(LookupError):
        deliveries.mark_retry(conn, "nobody", NOW, counts=True, error="", now=NOW)


def test_given_up_and_uncertain_messages_are_final(conn: sqlite3.Connection) -> None:
    failed, uncertain = queue(conn, new_delivery(1)), queue(conn, new_delivery(2))

    deliveries.mark_failed(conn, failed.delivery_id, "blocked", NOW)
    deliveries.mark_uncertain(conn, uncertain.delivery_id, "no answer", NOW)

    assert stored(conn, failed).state is DeliveryState.FAILED
    assert stored(conn, failed).last_error == "blocked"
    assert stored(conn, uncertain).state is DeliveryState.UNCERTAIN
    assert lane(conn) == []


def test_administrator_sends_a_failed_message_again(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, new_delivery())
    deliveries.mark_failed(conn, delivery.delivery_id, "blocked", NOW)
    tomorrow = NOW + timedelta(days=1)

    assert delivery_history.retry_failed(conn, delivery.delivery_id, tomorrow, NOW)
    assert not delivery_history.retry_failed(conn, delivery.delivery_id, tomorrow, NOW)
    assert stored(conn, delivery).expires_at == tomorrow
    assert lane(conn) == ["out-1"]


def test_interrupted_messages_are_offered_again(conn: sqlite3.Connection) -> None:
    under_way = queue(conn, new_delivery(1))
    queue(conn, new_delivery(2))
    deliveries.mark_sending(conn, [under_way.delivery_id], NOW)

    assert deliveries.requeue_interrupted(conn) == 1
    assert deliveries.requeue_interrupted(conn) == 0
    assert stored(conn, under_way).state is DeliveryState.QUEUED


def test_settled_receipts_wait_until_the_session_was_told(conn: sqlite3.Connection) -> None:
    add_session(conn, "sess-2")
    open_one, sent, failed = (queue(conn, new_delivery(number)) for number in (1, 2, 3))
    elsewhere = queue(conn, new_delivery(4, "sess-2"))
    queue(conn, HOST_MADE)
    deliveries.mark_sent(conn, sent.delivery_id, ("m",), NOW)
    deliveries.mark_failed(conn, failed.delivery_id, "blocked", NOW)
    deliveries.mark_sent(conn, elsewhere.delivery_id, ("m",), NOW)
    deliveries.mark_sent(conn, "deny-1", ("m",), NOW)

    untold = deliveries.unprojected(conn, "sess-1")

    assert [item.message_out_id for item in untold] == ["out-2", "out-3"]
    assert {item.id for item in deliveries.sessions_to_project(conn)} == {"sess-1", "sess-2"}
    deliveries.mark_projected(conn, [item.delivery_id for item in untold])
    assert deliveries.unprojected(conn, "sess-1") == []
    assert [item.id for item in deliveries.sessions_to_project(conn)] == ["sess-2"]
    assert stored(conn, open_one).projected is False


def test_recent_messages_can_be_asked_by_state(conn: sqlite3.Connection) -> None:
    first, second = queue(conn, new_delivery(1)), queue(conn, new_delivery(2))
    deliveries.mark_failed(conn, first.delivery_id, "blocked", NOW)

    everything = delivery_history.recent(conn, None, 10)

    assert [item.delivery_id for item in everything] == [second.delivery_id, first.delivery_id]
    assert len(delivery_history.recent(conn, DeliveryState.FAILED, 10)) == 1


def test_pruning_keeps_open_and_untold_messages(conn: sqlite3.Connection) -> None:
    told, untold, _open = (queue(conn, new_delivery(number)) for number in (1, 2, 3))
    for item in (told, untold):
        deliveries.mark_sent(conn, item.delivery_id, ("m",), NOW)
    deliveries.mark_projected(conn, [told.delivery_id])

    assert delivery_history.prune(conn, NOW + seconds(1)) == 1
    assert deliveries.get(conn, told.delivery_id) is None
    assert len(delivery_history.recent(conn, None, 10)) == 2


def test_pruning_forgets_settled_messages_of_the_host(conn: sqlite3.Connection) -> None:
    queue(conn, HOST_MADE)
    deliveries.mark_sent(conn, "deny-1", ("m",), NOW)

    assert delivery_history.prune(conn, NOW + seconds(1)) == 1


def test_message_for_later_is_in_no_lane_before_its_time(conn: sqlite3.Connection) -> None:
    queue(conn, replace(new_delivery(1), next_attempt_at=NOW + seconds(60)))
    queue(conn, new_delivery(2))

    assert lane(conn) == ["out-2"]
    assert deliveries.next_scheduled(conn, NOW) == NOW + seconds(60)
    later = deliveries.Window(0, 9, NOW + seconds(60))
    due = deliveries.open_in_lane(conn, "telegram", "platform-mg-1", None, later)
    assert [item.message_out_id for item in due] == ["out-1", "out-2"]


def test_what_waited_for_a_day_is_found_whether_or_not_it_was_tried(
    conn: sqlite3.Connection,
) -> None:
    old = queue(conn, new_delivery(1))
    queue(conn, replace(new_delivery(2), expires_at=NOW + timedelta(days=3)))

    found = deliveries.expired(conn, old.expires_at, 10)

    assert [item.delivery_id for item in found] == [old.delivery_id]


def test_late_news_fails_the_message_that_the_platform_had_taken(
    conn: sqlite3.Connection,
) -> None:
    delivery = queue(conn, new_delivery())
    deliveries.mark_sent(conn, delivery.delivery_id, ("wamid-1", "wamid-2"), NOW)

    assert not deliveries.note_late_failure(conn, "telegram", "wamid-9", "bounced", NOW)
    assert not deliveries.note_late_failure(conn, "mail", "wamid-2", "bounced", NOW)
    assert deliveries.note_late_failure(conn, "telegram", "wamid-2", "bounced", NOW)

    late = stored(conn, delivery)
    assert (late.state, late.failure, late.told) == (DeliveryState.FAILED, "late", False)
    assert not deliveries.note_late_failure(conn, "telegram", "wamid-2", "bounced", NOW)
