import pytest
from helpers.delivery_room import DeliveryRoom

from contract.clock import utc_now
from contract.inbound.row import InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import deliveries, sessions
from nanoclaw.delivery.decide import LIFETIME
from nanoclaw.events import DeliveryFailed, FailureClass
from nanoclaw.model import (
    ContainerStart,
    DeliverySource,
    DeliveryState,
    NewDelivery,
    NewSession,
    SessionMode,
)
from nanoclaw.sessions.folder import SessionFolder

NOW = utc_now()


def test_answer_reaches_the_worker_and_the_agent_learns_of_it(delivery: DeliveryRoom) -> None:
    with open_inbound(delivery.folder.inbound_db) as writer:
        writer.insert_message(NewInbound(f"m-1:{delivery.session.agent_group_id}", "chat", NOW, ""))
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("hello", done=f"m-1:{delivery.session.agent_group_id}")
    delivery.spin(lambda: delivery.states() == ["sent"])
    delivery.spin(lambda: not deliveries.unprojected(delivery.conn, "sess-1"))

    (frame,) = delivery.worker.frames
    assert delivery.worker.texts == ["hello"]
    assert (frame.reply_to_message_id, frame.completes) == ("m-1", True)
    with open_inbound(delivery.folder.inbound_db) as writer:
        row = writer.find(f"m-1:{delivery.session.agent_group_id}")
    assert row is not None
    assert row.status is InboundStatus.COMPLETED


@pytest.mark.parametrize("by_key", [True, False])
def test_order_is_kept(delivery: DeliveryRoom, by_key: bool) -> None:
    delivery.by_key = by_key
    delivery.start_worker()
    delivery.start_loop()
    texts = [str(number) for number in range(400)]

    delivery.say(*texts)
    delivery.spin(lambda: delivery.states() == ["sent"] * 400)

    assert delivery.worker.texts == texts


def test_t69_message_waits_for_a_worker_that_is_not_there(delivery: DeliveryRoom) -> None:
    delivery.say("patience")
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])

    delivery.start_worker()
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert delivery.worker.texts == ["patience"]


def test_lost_connection_repeats_under_the_same_id_and_counts_no_attempt(
    delivery: DeliveryRoom,
) -> None:
    delivery.worker.answers = [None]
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("once")
    delivery.spin(lambda: delivery.worker.frames)

    delivery.stop_worker()
    delivery.spin(lambda: delivery.states() == ["queued"])
    delivery.start_worker()
    delivery.spin(lambda: delivery.states() == ["sent"])

    first, second = delivery.worker.frames
    assert first.delivery_id == second.delivery_id
    assert (first.attempt, second.attempt) == (1, 1)


def test_w18_transient_failure_holds_back_the_later_message(
    delivery: DeliveryRoom,
) -> None:
    delivery.by_key = False
    delivery.worker.answers = [DeliveryFailed(FailureClass.TRANSIENT, "try later")]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("first", "second")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert delivery.worker.texts == ["first", "first", "second"]


def test_refused_message_fails_alone_and_is_projected(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [DeliveryFailed(FailureClass.PERMANENT, "chat gone")]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("bad", "good")
    delivery.spin(lambda: delivery.states() == ["failed", "sent", "sent"])
    delivery.spin(lambda: not deliveries.unprojected(delivery.conn, "sess-1"))


def test_t38_chat_without_permission_never_reaches_the_channel(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("let me in", chat="somebody-else")
    delivery.spin(lambda: delivery.states() == ["failed"])
    delivery.spin(delivery.notes)

    assert delivery.worker.frames == []
    assert "is not registered" in delivery.notes()[0]


def test_interrupted_message_is_taken_up_by_the_next_process(delivery: DeliveryRoom) -> None:
    delivery.say("unfinished")
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])
    deliveries.mark_sending(delivery.conn, ["sess-1/out-unfinished"], utc_now())
    assert delivery.loop is not None
    delivery.loop.close()

    delivery.start_worker()
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert delivery.worker.texts == ["unfinished"]


def test_hosts_own_message_goes_out_when_the_bell_rings(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()

    new = NewDelivery(
        "notice-1", "notice-1", "cli", "local", "chat", '{"text":"x"}', NOW, NOW, NOW + LIFETIME,
        source=DeliverySource.HOST,
    )  # fmt: skip
    deliveries.queue(delivery.conn, new)
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(lambda: delivery.states() == [DeliveryState.SENT])


def test_output_of_a_stopped_session_is_drained_once_more(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    sessions.set_stopped(delivery.conn, "sess-1")
    delivery.say("last words")
    delivery.start_loop()

    sessions.mark_dirty(delivery.conn, "sess-1")
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert sessions.dirty(delivery.conn) == []


def test_t68_broken_outbound_file_of_one_session_disturbs_nobody(delivery: DeliveryRoom) -> None:
    new = NewSession(
        "sess-2", delivery.session.agent_group_id, None, None, SessionMode.TASK, None, NOW
    )
    sessions.create(delivery.conn, new)
    other = SessionFolder.of(delivery.config.paths, delivery.session.agent_group_id, "sess-2")
    other.create()
    (other.out_dir / "outbound.db").symlink_to("/etc/passwd")
    sessions.set_running(delivery.conn, "sess-2", ContainerStart("c2", NOW, "v"))
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("unharmed")
    delivery.spin(lambda: delivery.states() == ["sent"])


def test_session_that_two_processes_died_on_is_left_alone(delivery: DeliveryRoom) -> None:
    marker = delivery.config.paths.run / "working-delivery"
    delivery.start_worker()
    delivery.say("poison")
    for _ in range(2):
        # What a process that is killed while it reads the file leaves behind.
        marker.write_text("sess-1")
        sessions.set_stopped(delivery.conn, "sess-1")
        delivery.start_loop()
        assert delivery.loop is not None
        delivery.loop.close()
        delivery.loop = None
        sessions.mark_dirty(delivery.conn, "sess-1")

    session = sessions.get(delivery.conn, "sess-1")
    assert session is not None
    assert session.quarantined_at is not None
    assert delivery.worker.frames == []
