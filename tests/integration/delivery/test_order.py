"""Order per chat, and that nobody waits for somebody else's chat, session or channel."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from helpers.delivery_room import DeliveryRoom

from contract.clock import to_text, utc_now
from contract.content import ChatOut
from contract.watch import Watch
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import deliveries
from nanoclaw.db.connection import open_central
from nanoclaw.delivery.backlog import KEPT
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.events import DeliveryFailed, FailureClass
from nanoclaw.model import DeliverySource, DeliveryState, NewDelivery


def test_t36_two_overlapping_drains_deliver_once(delivery: DeliveryRoom) -> None:
    """Two loops on the same books and session, as when an old process has not ended yet."""
    delivery.start_worker()
    delivery.start_loop()
    conn = open_central(delivery.config.paths.central_db)
    links = Links(delivery.reactor, delivery.config.paths)
    second = DeliveryLoop(delivery.reactor, conn, delivery.config, Watch.open(), links)
    second.start()

    delivery.say(*[str(number) for number in range(20)])
    delivery.spin(lambda: delivery.states() == ["sent"] * 20)
    for _ in range(3):
        second.look()
        ring(delivery.config.paths, DELIVERY)
    delivery.say("later")
    delivery.spin(lambda: delivery.states() == ["sent"] * 21)
    second.close()
    conn.close()

    ids = [frame.delivery_id for frame in delivery.worker.frames]
    rows = delivery.conn.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    assert (rows, len(set(ids))) == (21, 21)


def test_w47_hanging_chat_and_hanging_channel_delay_nobody(delivery: DeliveryRoom) -> None:
    delivery.by_key = False
    delivery.worker.answers = [None]
    delivery.add_chat("second")
    delivery.add_chat("third", channel="slow")
    delivery.start_worker()
    slow = delivery.add_worker("slow")
    slow.silent = True
    delivery.start_loop()

    delivery.write(
        [
            delivery.row("out-1", ChatOut(text="hangs")),
            delivery.row("out-2", ChatOut(text="waits behind it")),
            delivery.row("out-3", ChatOut(text="hangs too"), chat="third", channel="slow"),
            delivery.row("out-4", ChatOut(text="goes"), chat="second"),
        ]
    )
    delivery.spin(lambda: delivery.stored("out-4").state == "sent")

    assert delivery.worker.texts == ["hangs", "goes"]
    assert delivery.states() == ["sending", "queued", "sending", "sent"]


def test_w18_order_is_that_of_the_numbers_not_of_the_clock(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()
    rows = [delivery.row(f"out-{number}", ChatOut(text=str(number))) for number in range(50)]
    stuck_clock = rows[0].timestamp
    delivery.write([replace(row, timestamp=stuck_clock) for row in rows])
    delivery.spin(lambda: delivery.states() == ["sent"] * 50)

    assert delivery.worker.texts == [str(number) for number in range(50)]


def test_w18_hosts_own_words_wait_behind_the_agents(delivery: DeliveryRoom) -> None:
    delivery.by_key = False
    delivery.worker.answers = [DeliveryFailed(FailureClass.TRANSIENT, "busy")]
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("first")
    delivery.spin(lambda: delivery.worker.frames)

    now = utc_now()
    deliveries.queue(
        delivery.conn,
        NewDelivery(
            "notice-1", "notice-1", "cli", "local", "chat", '{"text":"host"}', now, now,
            now + timedelta(hours=1), source=DeliverySource.HOST,
        ),
    )  # fmt: skip
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert delivery.worker.texts == ["first", "first", "host"]


def test_message_for_later_holds_nobody_back_and_comes_at_its_time(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()
    later = replace(
        delivery.row("out-later", ChatOut(text="later")),
        deliver_after=utc_now() + timedelta(seconds=1),
    )

    delivery.write([later, delivery.row("out-now", ChatOut(text="now"))])
    delivery.spin(lambda: delivery.states() == ["queued", "sent"])
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert delivery.worker.texts == ["now", "later"]


def test_w16_undeliverable_is_never_counted_as_delivered(delivery: DeliveryRoom) -> None:
    delivery.start_loop()

    delivery.say("nobody there")
    delivery.write([delivery.row("out-2", ChatOut(text="no chat"), chat="")])
    delivery.spin(lambda: delivery.states() == ["queued", "failed"])

    assert delivery.stored("out-nobody there").state is DeliveryState.QUEUED
    assert delivery.stored("out-2").last_error == "the message names no chat"


def test_long_backlog_after_an_outage_is_joined_and_every_receipt_settled(
    delivery: DeliveryRoom,
) -> None:
    texts = [f"m{number}" for number in range(150)]
    delivery.say(*texts)
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"] * 150)
    hour_ago = to_text(utc_now() - timedelta(hours=1))
    delivery.conn.execute("UPDATE deliveries SET created_at = ?", (hour_ago,))
    delivery.stop_loop()

    delivery.start_loop()
    delivery.start_worker()
    delivery.spin(lambda: delivery.states() == ["sent"] * 150)
    delivery.spin(lambda: not deliveries.unprojected(delivery.conn, "sess-1"))

    sent = delivery.worker.texts
    assert sent[:KEPT] == texts[:KEPT]
    assert len(sent) < KEPT + 20
    assert "\n\n".join(sent).split("\n\n") == texts


def test_joined_messages_fail_together_with_the_one_that_says_them(delivery: DeliveryRoom) -> None:
    delivery.say(*[f"m{number}" for number in range(KEPT + 3)])
    delivery.start_loop()
    delivery.spin(lambda: len(delivery.states()) == KEPT + 3)
    hour_ago = to_text(utc_now() - timedelta(hours=1))
    delivery.conn.execute("UPDATE deliveries SET created_at = ?", (hour_ago,))
    delivery.stop_loop()
    gone = DeliveryFailed(FailureClass.PERMANENT, "chat gone")
    delivery.worker.answers = [gone] * 100
    delivery.start_loop()
    delivery.start_worker()

    delivery.spin(lambda: delivery.states()[: KEPT + 3] == ["failed"] * (KEPT + 3))


def test_burst_is_no_backlog(delivery: DeliveryRoom) -> None:
    delivery.by_key = False
    texts = [f"m{number}" for number in range(60)]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say(*texts)
    delivery.spin(lambda: delivery.states() == ["sent"] * 60)

    assert delivery.worker.texts == texts


def test_w30_session_with_a_broken_inbox_stops_nobody(delivery: DeliveryRoom) -> None:
    other = delivery.add_session("sess-2", delivery.chat.id)
    delivery.folder_of(other).inbound_db.write_bytes(b"this is no database at all" * 50)
    delivery.start_worker()
    delivery.start_loop()

    delivery.write([delivery.row("out-1", ChatOut(text="from the broken one"))], session=other)
    delivery.say("from the good one")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert sorted(delivery.worker.texts) == ["from the broken one", "from the good one"]


def test_w48_what_was_taken_in_is_never_read_again(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("one", "two")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])
    with closing(sqlite3.connect(delivery.folder.out_dir / "outbound.db")) as conn:
        conn.execute('UPDATE messages_out SET content = \'{"text":"changed"}\'')
        conn.commit()

    delivery.say("three")
    delivery.spin(lambda: delivery.states() == ["sent"] * 3)

    assert delivery.worker.texts == ["one", "two", "three"]
