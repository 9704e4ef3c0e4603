import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.waiting import wait_until

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from contract.watch import Watch
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, deliveries, messaging_groups, sessions
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.events import Deliver, Delivered, DeliveryFailed, FailureClass, Frame, Hello
from nanoclaw.link import FrameServer, Peer, QuietHandler
from nanoclaw.model import (
    ContainerStart,
    DeliverySource,
    DeliveryState,
    NewDelivery,
    NewSession,
    Session,
    SessionMode,
)
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder

NOW = utc_now()


class WorkerDouble(QuietHandler):
    """A channel worker that answers as it is told; default: delivered."""

    def __init__(self) -> None:
        self.frames: list[Deliver] = []
        self.answers: list[Frame | None] = []

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        assert isinstance(body, Deliver)
        self.frames.append(body)
        answer = self.answers.pop(0) if self.answers else Delivered((f"p-{len(self.frames)}",))
        if answer is not None:
            peer.answer(request_id, answer)

    @property
    def texts(self) -> list[str]:
        return [frame.content for frame in self.frames]


class Delivery:
    """The delivery loop in this process, one session that runs, and a worker."""

    def __init__(self, config: HostConfig, conn: sqlite3.Connection) -> None:
        self.config, self.conn = config, conn
        self.reactor = Reactor()
        self.worker = WorkerDouble()
        self.by_key = True
        self._server: FrameServer | None = None
        (group,) = agent_groups.list_all(conn)
        chat = messaging_groups.find_by_address(conn, "cli", "local")
        assert chat is not None
        new = NewSession("sess-1", group.id, chat.id, None, SessionMode.SHARED, "key", NOW)
        self.session: Session = sessions.create(conn, new)
        self.folder = SessionFolder.of(config.paths, group.id, "sess-1")
        self.folder.create()
        sessions.set_running(conn, "sess-1", ContainerStart("c", NOW, "v"))
        self.loop: DeliveryLoop | None = None

    def start_worker(self) -> None:
        send = IdempotentSend.KEY if self.by_key else IdempotentSend.NONE
        hello = Hello("cli", "cli", os.getpid(), capabilities=Capabilities(idempotent_send=send))
        path = self.config.paths.socket("channel-cli")
        self._server = FrameServer(self.reactor, path, hello, self.worker)

    def stop_worker(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def start_loop(self) -> None:
        self.loop = DeliveryLoop(
            self.reactor,
            self.conn,
            self.config.paths,
            Watch.open(),
            Links(self.reactor, self.config.paths),
        )
        self.loop.start()

    def say(self, *texts: str, chat: str = "local", done: str | None = None) -> None:
        """What a runner writes: rows, and the completion of their input, in one transaction."""
        with open_outbound(self.folder.out_dir / "outbound.db") as out:
            for text in texts:
                address = Address("cli", chat)
                row = NewOutbound(f"out-{text}", "chat", utc_now(), text, address, in_reply_to=done)
                out.write_message(row, 2)
            if done is not None:
                out.complete([done], utc_now())

    def spin(self, done: Callable[[], object]) -> None:
        def step() -> bool:
            for _ in range(50):
                self.reactor.run_once(0.001)
            return bool(done())

        wait_until(step, within=10)

    def states(self) -> list[str]:
        rows = self.conn.execute("SELECT state FROM deliveries ORDER BY row_number")
        return [row[0] for row in rows]

    def close(self) -> None:
        if self.loop is not None:
            self.loop.close()
        self.stop_worker()
        self.reactor.close()
        self.conn.close()


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    config, conn = make_home(tmp_path)
    delivery = Delivery(config, conn)
    yield delivery
    delivery.close()


def test_answer_reaches_the_worker_and_the_agent_learns_of_it(delivery: Delivery) -> None:
    with open_inbound(delivery.folder.inbound_db) as writer:
        writer.insert_message(NewInbound(f"m-1:{delivery.session.agent_group_id}", "chat", NOW, ""))
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("hello", done=f"m-1:{delivery.session.agent_group_id}")
    delivery.spin(lambda: delivery.states() == ["sent"])
    delivery.spin(lambda: not deliveries.unprojected(delivery.conn, "sess-1"))

    (frame,) = delivery.worker.frames
    assert (frame.content, frame.reply_to_message_id, frame.completes) == ("hello", "m-1", True)
    with open_inbound(delivery.folder.inbound_db) as writer:
        row = writer.find(f"m-1:{delivery.session.agent_group_id}")
    assert row is not None
    assert row.status is InboundStatus.COMPLETED


@pytest.mark.parametrize("by_key", [True, False])
def test_order_is_kept(delivery: Delivery, by_key: bool) -> None:
    delivery.by_key = by_key
    delivery.start_worker()
    delivery.start_loop()
    texts = [str(number) for number in range(400)]

    delivery.say(*texts)
    delivery.spin(lambda: delivery.states() == ["sent"] * 400)

    assert delivery.worker.texts == texts


def test_message_waits_for_a_worker_that_is_not_there(delivery: Delivery) -> None:
    delivery.say("patience")
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])

    delivery.start_worker()
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert delivery.worker.texts == ["patience"]


def test_lost_connection_repeats_under_the_same_id_and_counts_no_attempt(
    delivery: Delivery,
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


def test_transient_failure_is_tried_again_and_holds_back_the_later_one(delivery: Delivery) -> None:
    delivery.by_key = False
    delivery.worker.answers = [DeliveryFailed(FailureClass.TRANSIENT, "try later")]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("first", "second")
    delivery.spin(lambda: delivery.states() == ["sent", "sent"])

    assert delivery.worker.texts == ["first", "first", "second"]


def test_refused_message_fails_alone_and_is_projected(delivery: Delivery) -> None:
    delivery.worker.answers = [DeliveryFailed(FailureClass.PERMANENT, "chat gone")]
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("bad", "good")
    delivery.spin(lambda: delivery.states() == ["failed", "sent"])
    delivery.spin(lambda: not deliveries.unprojected(delivery.conn, "sess-1"))


def test_agent_cannot_write_to_a_chat_it_has_no_destination_for(delivery: Delivery) -> None:
    delivery.start_worker()
    delivery.start_loop()

    delivery.say("let me in", chat="somebody-else")
    delivery.spin(lambda: delivery.states() == ["failed"])

    assert delivery.worker.frames == []


def test_interrupted_message_is_taken_up_by_the_next_process(delivery: Delivery) -> None:
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


def test_hosts_own_message_goes_out_when_the_bell_rings(delivery: Delivery) -> None:
    delivery.start_worker()
    delivery.start_loop()

    new = NewDelivery(
        "notice-1", "notice-1", "cli", "local", "chat", "{}", NOW, NOW, NOW,
        source=DeliverySource.HOST,
    )  # fmt: skip
    deliveries.queue(delivery.conn, new)
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(lambda: delivery.states() == [DeliveryState.SENT])


def test_output_of_a_stopped_session_is_drained_once_more(delivery: Delivery) -> None:
    delivery.start_worker()
    sessions.set_stopped(delivery.conn, "sess-1")
    delivery.say("last words")
    delivery.start_loop()

    sessions.mark_dirty(delivery.conn, "sess-1")
    ring(delivery.config.paths, DELIVERY)
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert sessions.dirty(delivery.conn) == []


def test_broken_outbound_file_of_one_session_disturbs_nobody(delivery: Delivery) -> None:
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


def test_session_that_two_processes_died_on_is_left_alone(delivery: Delivery) -> None:
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
