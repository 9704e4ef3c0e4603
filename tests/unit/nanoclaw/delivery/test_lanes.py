from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nanoclaw.delivery.lanes import WINDOW, LaneKey, Lanes
from nanoclaw.model import Delivery, DeliverySource, DeliveryState, FilesState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LANE = LaneKey("cli", "local", None)


def delivery(number: int, *, chat: str = "local", due: datetime = NOW) -> Delivery:
    return Delivery(
        row_number=number,
        delivery_id=f"d-{number}",
        message_out_id=f"m-{number}",
        session_id="sess",
        seq=number,
        source=DeliverySource.AGENT,
        instance="cli",
        platform_id=chat,
        thread_id=None,
        kind="chat",
        content="{}",
        in_reply_to=None,
        reply_hint=None,
        reply_to_message_id=None,
        completes=False,
        state=DeliveryState.QUEUED,
        attempts=0,
        next_attempt_at=due,
        last_error=None,
        part_index=0,
        platform_message_ids=(),
        projected=False,
        created_at=NOW,
        updated_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )


class Store:
    """Open receipts as the database would give them."""

    def __init__(self, count: int = 0) -> None:
        self.rows = [delivery(number) for number in range(1, count + 1)]

    def fetch(self, key: LaneKey, after: int, limit: int) -> list[Delivery]:
        return [row for row in self.rows if row.row_number > after][:limit]


def test_one_at_a_time_is_first_in_first_out() -> None:
    lanes = Lanes(Store().fetch)
    lanes.add(delivery(1))
    lanes.add(delivery(2))

    first = lanes.take(LANE, NOW, 1)
    held = lanes.take(LANE, NOW, 1)
    lanes.finish(first[0])
    second = lanes.take(LANE, NOW, 1)

    assert [item.row_number for item in first + second] == [1, 2]
    assert held == []


def test_a_waiting_head_holds_its_own_lane_only() -> None:
    lanes = Lanes(Store().fetch)
    lanes.add(delivery(1, due=NOW + timedelta(seconds=5)))
    lanes.add(delivery(2))
    lanes.add(delivery(3, chat="other"))

    taken = [item for key in list(lanes.sendable()) for item in lanes.take(key, NOW, 8)]

    assert [item.row_number for item in taken] == [3]
    assert lanes.next_due(NOW) == NOW + timedelta(seconds=5)


def test_failed_messages_return_to_the_front_in_their_old_order() -> None:
    lanes = Lanes(Store().fetch)
    for number in range(1, 5):
        lanes.add(delivery(number))

    taken = lanes.take(LANE, NOW, 3)
    lanes.put_back([replace(taken[2]), replace(taken[0]), replace(taken[1])])

    assert [item.row_number for item in lanes.take(LANE, NOW, 8)] == [1, 2, 3, 4]


def test_long_backlog_is_fetched_in_windows_without_gap_or_repeat() -> None:
    store = Store(3 * WINDOW + 5)
    lanes = Lanes(store.fetch)
    lanes.reload(LANE)
    sent: list[int] = []

    while batch := lanes.take(LANE, NOW, 16):
        for item in batch:
            sent.append(item.row_number)
            store.rows.remove(next(row for row in store.rows if row.row_number == item.row_number))
            lanes.finish(item)

    assert sent == list(range(1, 3 * WINDOW + 6))


def test_reload_never_repeats_what_is_under_way_or_waiting() -> None:
    store = Store(4)
    lanes = Lanes(store.fetch)
    lanes.reload(LANE)
    taken = lanes.take(LANE, NOW, 2)

    lanes.reload(LANE)
    rest = lanes.take(LANE, NOW, 8)

    assert [item.row_number for item in taken + rest] == [1, 2, 3, 4]


def test_lanes_without_anything_are_forgotten() -> None:
    lanes = Lanes(Store().fetch)
    lanes.add(delivery(1))
    lanes.finish(lanes.take(LANE, NOW, 1)[0])

    assert list(lanes.sendable()) == []
    assert lanes.next_due(NOW) is None


def test_a_head_whose_files_are_being_copied_holds_its_lane() -> None:
    lanes = Lanes(Store().fetch)
    copying = replace(delivery(1), files_state=FilesState.WANTED)
    lanes.add(copying)
    lanes.add(delivery(2))

    held = lanes.take(LANE, NOW, 8)
    lanes.replace(replace(copying, files_state=FilesState.TAKEN))
    taken = lanes.take(LANE, NOW, 8)

    assert held == []
    assert [item.row_number for item in taken] == [1, 2]


def test_due_head_that_waits_for_its_channel_sets_no_timer() -> None:
    lanes = Lanes(Store().fetch)
    lanes.add(delivery(1))

    assert lanes.next_due(NOW) is None


def test_dropped_messages_are_not_sent() -> None:
    lanes = Lanes(Store().fetch)
    for number in range(1, 4):
        lanes.add(delivery(number))

    lanes.drop(LANE, {"d-1", "d-3"})

    assert [item.row_number for item in lanes.take(LANE, NOW, 8)] == [2]
