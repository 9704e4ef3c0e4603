"""Files of sessions that are locked, half written, of another time or far too large a wish."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from helpers.delivery_room import DeliveryRoom
from helpers.locked_file import leave_hot_journal, locked_exclusively

from contract.clock import utc_now
from contract.content import ChatOut
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import deliveries, sessions
from nanoclaw.delivery.busy import FIRST_SECONDS, LONGEST_SECONDS, BusyLooks
from nanoclaw.model import DeliveryState
from nanoclaw.reactor import Callback, Reactor, Timer


class Clockwork(Reactor):
    """Remembers the delays that were asked for, and calls at once."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        self.delays.append(seconds)
        return super().call_later(0, callback)


def test_locked_file_is_looked_at_by_one_timer_that_grows_slower() -> None:
    reactor, looks = Clockwork(), 0

    def look(session_id: str) -> None:
        nonlocal looks
        looks += 1
        busy.note(session_id, busy=looks < 15)

    busy = BusyLooks(reactor, look)
    for _ in range(10):
        busy.note("sess-1", busy=True)

    while looks < 15:
        reactor.run_once(0.001)
    assert reactor.delays[0] == FIRST_SECONDS
    assert reactor.delays == sorted(reactor.delays)
    assert reactor.delays[-1] == LONGEST_SECONDS
    assert len(reactor.delays) == 15
    busy.note("sess-1", busy=True)
    assert reactor.delays[-1] == FIRST_SECONDS
    reactor.close()


def test_lock_on_the_agents_file_delays_nobody_else(delivery: DeliveryRoom) -> None:
    other = delivery.add_session("sess-2", delivery.chat.id)
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("first")
    delivery.spin(lambda: delivery.states() == ["sent"])

    with locked_exclusively(delivery.folder.out_dir / "outbound.db"):
        for number in range(20):
            ring(delivery.config.paths, DELIVERY)
            row = delivery.row(f"out-{number}", ChatOut(text=str(number)))
            delivery.write([row], session=other)
            delivery.spin(lambda number=number: len(delivery.states()) == number + 2)  # type: ignore[misc]
        delivery.spin(lambda: delivery.states() == ["sent"] * 21)
    delivery.say("last")

    delivery.spin(lambda: delivery.stored("out-last").state is DeliveryState.SENT)


def test_message_before_a_half_done_transaction_does_not_wait_for_the_next_runner(
    delivery: DeliveryRoom,
) -> None:
    delivery.say("committed")
    leave_hot_journal(delivery.folder.out_dir / "outbound.db")
    sessions.set_stopped(delivery.conn, "sess-1")
    sessions.mark_dirty(delivery.conn, "sess-1")
    delivery.start_worker()

    delivery.start_loop()

    delivery.spin(lambda: delivery.states() == ["sent"])
    assert delivery.worker.texts == ["committed"]


@pytest.mark.parametrize(
    "deliver_after", [datetime.max.replace(tzinfo=UTC), utc_now() + timedelta(days=400)]
)
def test_message_for_the_end_of_the_calendar_is_refused_and_harms_nobody(
    delivery: DeliveryRoom, deliver_after: datetime
) -> None:
    delivery.start_worker()
    delivery.start_loop()
    row = delivery.row("out-1", ChatOut(text="the end"))

    delivery.write([replace(row, deliver_after=deliver_after), delivery.row("out-2", "hello")])

    delivery.spin(delivery.notes)
    refused = delivery.stored("out-1")
    assert refused.state is DeliveryState.FAILED
    assert "schedule a task instead" in delivery.notes()[0]


def test_newer_inbox_stops_the_receipts_of_its_session_only(delivery: DeliveryRoom) -> None:
    with sqlite3.connect(delivery.folder.inbound_db) as conn:
        conn.execute("PRAGMA user_version=999")
    conn.close()
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("hello")
    delivery.spin(lambda: delivery.states() == ["sent"])
    delivery.reactor.call_later(0.2, delivery.reactor.stop)
    delivery.reactor.run()  # past the moment in which receipts are written back

    delivery.say("again")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])
    assert len(deliveries.unprojected(delivery.conn, "sess-1")) == 2


def test_message_of_more_than_a_mebibyte_is_refused_in_words(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()

    delivery.write([delivery.row("out-1", ChatOut(text="x" * 1_100_000))])

    delivery.spin(delivery.notes)
    assert delivery.states() == ["failed"]
    assert "send a file instead" in delivery.notes()[0]


def test_w30_session_whose_rows_break_the_books_stops_alone_and_is_told(
    delivery: DeliveryRoom,
) -> None:
    # Stands for whatever nobody has foreseen.
    delivery.conn.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON deliveries WHEN new.message_out_id = 'out-bad'"
        " BEGIN SELECT raise(ABORT, 'no'); END"
    )
    other = delivery.add_session("sess-2", delivery.chat.id)
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("bad")
    delivery.spin(lambda: delivery.worker.texts)
    delivery.write([delivery.row("out-good", ChatOut(text="good"))], session=other)
    delivery.spin(lambda: len(delivery.worker.texts) == 2)

    assert "damaged" in delivery.worker.texts[0]
    assert delivery.worker.texts[1] == "good"
    assert [item.id for item in sessions.quarantined(delivery.conn)] == ["sess-1"]
