import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, new_delivery, queue, seconds, seed

from nanoclaw.db import approvals, deliveries, delivery_steps, effects
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.deliveries import Failure
from nanoclaw.db.delivery_steps import Joined, TakenFiles
from nanoclaw.db.effects import NewEffect
from nanoclaw.events import SpoolFile
from nanoclaw.model import Delivery, DeliveryState, FilesState, NewDelivery

TOMORROW = NOW + timedelta(days=1)


@pytest.fixture(autouse=True)
def _seeded(conn: sqlite3.Connection) -> None:
    seed(conn)


def stored(conn: sqlite3.Connection, new: NewDelivery | Delivery) -> Delivery:
    found = deliveries.get(conn, new.delivery_id)
    assert found is not None
    return found


def held(conn: sqlite3.Connection, number: int = 1, approval: str = "appr-1") -> Delivery:
    return queue(conn, replace(new_delivery(number), state=DeliveryState.HELD, waits_for=approval))


def request(conn: sqlite3.Connection, status: ApprovalStatus = ApprovalStatus.PENDING) -> None:
    approvals.insert(conn, Approval("appr-1", "r-1", "send_held", "{}", NOW, status=status))


def test_files_are_recorded_once_and_counted_while_they_wait(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, replace(new_delivery(), files_state=FilesState.WANTED))
    files = (SpoolFile("a.txt", "out-1", 10, "00"), SpoolFile("b.txt", "out-2", 5, "11"))
    assert [item.delivery_id for item in delivery_steps.wanting_files(conn, 9)] == [
        delivery.delivery_id
    ]

    delivery_steps.set_files(conn, TakenFiles(delivery.delivery_id, files), NOW)
    delivery_steps.set_files(conn, TakenFiles(delivery.delivery_id, ()), NOW)

    taken = stored(conn, delivery)
    assert (taken.files_state, taken.files, taken.told) == (FilesState.TAKEN, files, True)
    assert delivery_steps.spooled_bytes(conn, "sess-1") == 15
    deliveries.mark_sent(conn, delivery.delivery_id, (), NOW)
    assert delivery_steps.spooled_bytes(conn, "sess-1") == 0


def test_file_that_was_refused_is_to_be_told(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, replace(new_delivery(), files_state=FilesState.WANTED))

    delivery_steps.set_files(conn, TakenFiles(delivery.delivery_id, (), "a.txt is a link"), NOW)

    (untold,) = delivery_steps.untold(conn, 9)
    assert untold.files_problem == "a.txt is a link"
    delivery_steps.mark_told(conn, untold)
    assert delivery_steps.untold(conn, 9) == []


def test_what_happened_meanwhile_is_still_to_be_told(conn: sqlite3.Connection) -> None:
    delivery = queue(conn, new_delivery())
    deliveries.mark_failed(conn, delivery.delivery_id, "first", NOW)
    (read,) = delivery_steps.untold(conn, 9)

    deliveries.mark_failed(conn, delivery.delivery_id, "second", NOW + seconds(1))
    delivery_steps.mark_told(conn, read)

    assert [item.last_error for item in delivery_steps.untold(conn, 9)] == ["second"]


def test_released_message_takes_its_place_at_the_end_and_only_once(
    conn: sqlite3.Connection,
) -> None:
    first = held(conn)
    second = queue(conn, new_delivery(2))

    start = NOW + seconds(60)
    assert delivery_steps.release(conn, first.delivery_id, start, TOMORROW, NOW)
    assert not delivery_steps.release(conn, first.delivery_id, start, TOMORROW, NOW)

    released = stored(conn, first)
    assert released.row_number > second.row_number
    assert (released.state, released.expires_at) == (DeliveryState.QUEUED, TOMORROW)
    assert released.next_attempt_at == start


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (ApprovalStatus.PENDING, False),
        (ApprovalStatus.REJECTED, True),
        (ApprovalStatus.EXPIRED, True),
        (None, True),
    ],
)
def test_held_message_ends_when_nobody_will_allow_it(
    conn: sqlite3.Connection, status: ApprovalStatus | None, ends: bool
) -> None:
    delivery = held(conn)
    if status is not None:
        request(conn, status)

    ended = delivery_steps.fail_denied(conn, NOW)

    assert [item.delivery_id for item in ended] == ([delivery.delivery_id] if ends else [])
    assert delivery_steps.fail_denied(conn, NOW) == []
    assert delivery_steps.has_held(conn) is not ends
    if ends:
        denied = stored(conn, delivery)
        assert (denied.failure, denied.told) == (Failure.DENIED, True)


def test_allowed_message_waits_for_its_effect_and_no_longer(conn: sqlite3.Connection) -> None:
    delivery = held(conn)
    request(conn, ApprovalStatus.APPROVED)
    effect = NewEffect("e-1", "send_held", "agent:ag-1", "{}", "h", NOW, approval_id="appr-1")
    effects.record(conn, effect)

    assert delivery_steps.fail_denied(conn, NOW) == []

    effects.fail(conn, "e-1", "given up", NOW)
    assert [item.delivery_id for item in delivery_steps.fail_denied(conn, NOW)] == [
        delivery.delivery_id
    ]


@pytest.mark.parametrize("outcome", ["sent", "failed", "uncertain"])
def test_joined_messages_end_as_their_leader(conn: sqlite3.Connection, outcome: str) -> None:
    leader, *followers = (queue(conn, new_delivery(number)) for number in (1, 2, 3))
    ids = tuple(item.delivery_id for item in followers)

    delivery_steps.join(conn, Joined(leader.delivery_id, "{}", ids, True))
    window = deliveries.Window(0, 9, NOW)
    lane = deliveries.open_in_lane(conn, "telegram", "platform-mg-1", None, window)
    assert [(item.delivery_id, item.content, item.completes) for item in lane] == [
        (leader.delivery_id, "{}", True)
    ]
    if outcome == "sent":
        deliveries.mark_sent(conn, leader.delivery_id, ("m-1",), NOW)
    elif outcome == "failed":
        deliveries.mark_failed(conn, leader.delivery_id, "gone", NOW)
    else:
        deliveries.mark_uncertain(conn, leader.delivery_id, "lost", NOW)

    assert {stored(conn, item).state.value for item in (leader, *followers)} == {outcome}
    if outcome == "sent":
        assert stored(conn, followers[0]).platform_message_ids == ("m-1",)
