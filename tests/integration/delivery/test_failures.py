"""Messages that do not arrive: tried long enough, then ended where everybody can see it."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial

import pytest
from helpers.delivery_room import DeliveryRoom

from contract.clock import to_text, utc_now
from contract.content import ChatOut, dump
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db import deliveries, wirings
from nanoclaw.db.wirings import WiringChange
from nanoclaw.delivery.failure_texts import NOTICE
from nanoclaw.events import DeliveryFailed, FailureClass
from nanoclaw.model import DeliveryState

GONE = DeliveryFailed(FailureClass.PERMANENT, "chat gone")
LATER = DeliveryFailed(FailureClass.TRANSIENT, "try later")


def owner_texts(room: DeliveryRoom) -> list[str]:
    rows = room.conn.execute("SELECT text FROM owner_notices ORDER BY rowid").fetchall()
    return [row[0] for row in rows]


def has_notes(room: DeliveryRoom, count: int) -> bool:
    return len(room.notes()) == count


def age(room: DeliveryRoom, hours: float) -> None:
    """All messages in the books are as if they had been written so long ago."""
    then = to_text(utc_now() - timedelta(hours=hours))
    room.conn.execute("UPDATE deliveries SET created_at = ?", (then,))
    end = to_text(utc_now() - timedelta(hours=hours - 24))
    room.conn.execute("UPDATE deliveries SET expires_at = ?", (end,))


def test_refused_message_is_told_to_the_agent_and_in_its_chat(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [GONE]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("words that nobody else shall read")
    delivery.spin(delivery.notes)
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])

    (note,) = delivery.notes()
    assert "chat gone" in note
    assert "could not be delivered here: permanent: chat gone" in delivery.worker.texts[1]
    assert "nobody else" not in delivery.worker.texts[1]
    assert owner_texts(delivery) == []


def test_chat_that_is_gone_for_good_is_the_owners_affair(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [GONE, GONE]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("hello")
    delivery.spin(lambda: owner_texts(delivery))

    assert delivery.states() == ["failed", "failed"]
    assert len(delivery.worker.frames) == 2, "no notice about the notice"
    assert f"message of {delivery.group.name} to Terminal" in owner_texts(delivery)[0]


def test_agent_that_answers_a_failure_note_is_not_woken_for_ever(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [GONE] * 20
    delivery.start_worker()
    delivery.start_loop()

    for number in range(3):
        delivery.say(f"try {number}")
        delivery.spin(partial(has_notes, delivery, number + 1))

    with closing(sqlite3.connect(delivery.folder.inbound_db)) as conn:
        wakes = [row[0] for row in conn.execute("SELECT trigger FROM messages_in ORDER BY seq")]
    assert wakes == [1, 0, 0]


def test_t37_message_is_tried_with_growing_delay_and_then_never_again(
    delivery: DeliveryRoom,
) -> None:
    delivery.worker.answers = [LATER]
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("stubborn")
    delivery.spin(lambda: delivery.worker.frames and delivery.states() == ["queued"])
    waiting = delivery.stored("out-stubborn")
    assert waiting.attempts == 1
    assert waiting.next_attempt_at is not None

    delivery.stop_loop()
    age(delivery, 25)
    delivery.start_loop()
    delivery.spin(lambda: owner_texts(delivery))
    delivery.say("next")
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])

    assert delivery.worker.texts == ["stubborn", "next"]
    assert delivery.stored("out-stubborn").state is DeliveryState.FAILED


def test_t37_success_after_a_failure_is_not_repeated(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [LATER]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("once")
    delivery.spin(lambda: delivery.states() == ["sent"])
    ring(delivery.config.paths, DELIVERY)
    delivery.say("afterwards")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert delivery.worker.texts == ["once", "once", "afterwards"]


def test_w17_attempts_and_their_time_survive_a_restart(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [LATER]
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("patient")
    delivery.spin(lambda: delivery.worker.frames and delivery.states() == ["queued"])
    before = delivery.stored("out-patient")

    delivery.stop_loop()
    delivery.start_loop()

    after = delivery.stored("out-patient")
    assert (after.attempts, after.next_attempt_at) == (before.attempts, before.next_attempt_at)
    delivery.spin(lambda: delivery.states() == ["sent"])
    assert [frame.attempt for frame in delivery.worker.frames] == [1, 2]


def test_message_that_waited_a_day_for_its_channel_ends_though_nobody_is_there(
    delivery: DeliveryRoom,
) -> None:
    delivery.say("too late")
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])
    delivery.stop_loop()
    age(delivery, 25)

    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["failed"])
    delivery.spin(delivery.notes)
    delivery.spin(lambda: owner_texts(delivery))

    assert delivery.worker.frames == []
    assert "given up after a day" in delivery.notes()[0]


def test_many_expired_messages_are_one_note_and_one_notice(delivery: DeliveryRoom) -> None:
    delivery.say(*[f"m{number}" for number in range(50)])
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"] * 50)
    delivery.stop_loop()
    age(delivery, 25)

    delivery.start_loop()
    delivery.spin(lambda: owner_texts(delivery))

    assert len(delivery.notes()) == 1
    assert len(owner_texts(delivery)) == 1


def test_uncertain_message_is_not_repeated_and_shown_to_the_owner(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [DeliveryFailed(FailureClass.UNCERTAIN, "answer lost")]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("maybe", "next")
    delivery.spin(lambda: delivery.states() == ["uncertain", "sent"])
    delivery.spin(lambda: owner_texts(delivery))

    assert "may not have arrived" in delivery.notes()[0]
    assert "ncl messages retry sess-1/out-maybe" in owner_texts(delivery)[0]


@pytest.mark.parametrize("policy", [None, UncertainPolicy.HOLD, UncertainPolicy.REPEAT])
def test_policy_of_the_wiring_travels_with_the_message(
    delivery: DeliveryRoom, policy: UncertainPolicy | None
) -> None:
    (wiring,) = wirings.of_agent_group(delivery.conn, delivery.group.id)
    wirings.update(delivery.conn, wiring.id, WiringChange(uncertain_policy=policy))
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("hello")
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert delivery.worker.frames[0].uncertain_policy is policy


def test_late_failure_is_told_like_any_other(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("accepted at first")
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert deliveries.note_late_failure(delivery.conn, "cli", "p-1", "bounced", utc_now())
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(delivery.notes)
    delivery.spin(lambda: owner_texts(delivery))

    assert "bounced" in delivery.notes()[0]


def test_note_waits_for_a_session_file_that_is_locked_and_holds_up_nobody(
    delivery: DeliveryRoom,
) -> None:
    other = delivery.add_session("sess-2", delivery.chat.id)
    delivery.start_worker()
    delivery.start_loop()
    bad = "not JSON at all"
    with closing(sqlite3.connect(delivery.folder.inbound_db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages_in").fetchone()
        delivery.write([delivery.row("out-1", bad)])
        delivery.write([delivery.row("out-1", bad)], session=other)
        delivery.spin(lambda: delivery.notes(other))
        assert delivery.notes() == []
        reader.execute("ROLLBACK")

    delivery.spin(delivery.notes)

    assert "cannot be read" in delivery.notes()[0]


def test_content_that_fits_no_frame_is_refused_and_harms_nobody(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()
    quotes = dump(ChatOut(text='"' * 500_000))

    delivery.write([delivery.row("out-huge", quotes), delivery.row("out-2", ChatOut(text="x"))])
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])
    delivery.spin(delivery.notes)

    assert "too long" in delivery.notes()[0]


def test_w18_notice_in_a_chat_keeps_its_place_in_the_order(delivery: DeliveryRoom) -> None:

    delivery.by_key = False
    delivery.worker.answers = [GONE]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("refused")
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])
    delivery.say("next")
    delivery.spin(lambda: delivery.states() == ["failed", "sent", "sent"])

    rows = delivery.conn.execute("SELECT delivery_id FROM deliveries ORDER BY row_number")
    assert [row[0].startswith(NOTICE) for row in rows] == [False, True, False]
    assert "could not be delivered" in delivery.worker.texts[1]
