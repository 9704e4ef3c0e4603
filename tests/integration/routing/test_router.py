import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.inbound.reader import read_pending
from contract.inbound.select import PendingQuery
from contract.inbound.writer import open_inbound
from nanoclaw.config import HostConfig
from nanoclaw.db import inbound_events, sessions
from nanoclaw.events import (
    Committed,
    Frame,
    Hello,
    Inbound,
    InboundEvent,
    Outcome,
    Wake,
)
from nanoclaw.link import Answer, FrameClient, FrameServer, Peer, QuietHandler
from nanoclaw.model import Session
from nanoclaw.reactor import Reactor
from nanoclaw.routing.apply import Arrival, commit
from nanoclaw.routing.loop import RouterLoop
from nanoclaw.sessions.folder import SessionFolder

HELLO = Hello("cli", "cli", os.getpid())


class SweepDouble(QuietHandler):
    def __init__(self) -> None:
        self.woken: list[str] = []

    def on_notice(self, peer: Peer, body: Frame) -> None:
        assert isinstance(body, Wake)
        self.woken.extend(body.session_ids)


class Router:
    """The router's loop in this process, with a channel worker and a sweep around it."""

    def __init__(self, config: HostConfig, conn: sqlite3.Connection) -> None:
        self.config, self.conn = config, conn
        self.reactor = Reactor()
        self.sweep = SweepDouble()
        paths = config.paths
        self._sweep_server = FrameServer(self.reactor, paths.socket("sweep"), HELLO, self.sweep)
        self._nudge = FrameClient(self.reactor, paths.socket("sweep"), HELLO, QuietHandler())
        self._nudge.connect()
        self.loop = RouterLoop(self.reactor, conn, paths, self._nudge)
        self._server = FrameServer(self.reactor, paths.socket("router"), HELLO, self.loop)
        self.worker = FrameClient(self.reactor, paths.socket("router"), HELLO, QuietHandler())
        self.worker.connect()
        self.spin(lambda: self.worker.connected)

    def spin(self, done: object) -> None:
        def step() -> bool:
            self.reactor.run_once(0.01)
            return bool(done())  # type: ignore[operator]  # a zero-argument test

        wait_until(step, within=5)

    def send(self, *events: InboundEvent) -> list[Answer]:
        answers: list[Answer] = []
        for event in events:
            self.worker.request(Inbound(event), 5, answers.append)
        self.spin(lambda: len(answers) == len(events))
        return answers

    def session(self) -> Session:
        (session,) = sessions.list_all(self.conn, 10)
        return session

    def rows(self) -> list[str]:
        session = self.session()
        folder = SessionFolder.of(self.config.paths, session.agent_group_id, session.id)
        batch = read_pending(folder.inbound_db, PendingQuery(utc_now(), 1000, first_poll=True))
        return [row.content for row in batch.rows]

    def close(self) -> None:
        self.worker.close()
        self._nudge.close()
        self._server.close()
        self._sweep_server.close()
        self.reactor.close()
        self.conn.close()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    config, conn = make_home(tmp_path)
    router = Router(config, conn)
    yield router
    router.close()


def message(number: int, text: str = "hello") -> InboundEvent:
    return InboundEvent(
        event_key=f"key-{number}",
        message_id=f"m-{number}",
        platform_id="local",
        sender_id="local",
        timestamp="2026-11-21T10:00:00.000Z",
        is_mention=True,
        text=text,
    )


def test_message_is_committed_written_and_wakes_the_sweep(router: Router) -> None:
    (answer,) = router.send(message(1, "first"))
    router.spin(lambda: router.sweep.woken)

    assert answer == Committed(Outcome.ROUTED)
    assert router.rows() == ['{"text":"first","sender":"local","senderId":"cli:local"}']
    assert router.sweep.woken == [router.session().id]
    assert router.session().next_due_at is not None


def test_second_copy_of_an_event_is_a_no_op(router: Router) -> None:
    router.send(message(1))

    (answer,) = router.send(message(1))

    assert answer == Committed(Outcome.DUPLICATE)
    assert len(router.rows()) == 1


def test_events_of_one_round_are_routed_in_their_order(router: Router) -> None:
    answers = router.send(*(message(number, str(number)) for number in range(150)))
    router.spin(lambda: not inbound_events.unrouted(router.conn, 1))

    assert answers == [Committed(Outcome.ROUTED)] * 150
    assert [row.split('"')[3] for row in router.rows()] == [str(n) for n in range(150)]


def test_message_for_nobody_is_logged_and_leaves_no_session(router: Router) -> None:
    stranger = InboundEvent("k", "m", "nowhere", "x", "2026-11-21T10:00:00.000Z", text="hi")

    (answer,) = router.send(stranger)

    assert isinstance(answer, Committed)
    assert answer.outcome is Outcome.IGNORED
    assert sessions.list_all(router.conn, 10) == []


def test_rows_committed_before_a_crash_are_written_at_the_next_start(router: Router) -> None:
    # What a router that is killed right after its commit leaves behind.
    commit(router.conn, [Arrival("cli", False, message(1))], utc_now())

    router.loop.replay()

    assert len(router.rows()) == 1
    assert inbound_events.unrouted(router.conn, 10) == []


def test_replay_after_the_rows_were_written_repeats_nothing(router: Router) -> None:
    router.send(message(1))
    router.conn.execute("UPDATE inbound_events SET state = 'committed'")

    router.loop.replay()

    assert len(router.rows()) == 1


def test_locked_session_file_delays_the_row_and_loses_nothing(router: Router) -> None:
    router.send(message(1))
    session = router.session()
    folder = SessionFolder.of(router.config.paths, session.agent_group_id, session.id)

    with open_inbound(folder.inbound_db):
        (answer,) = router.send(message(2))
        held = len(inbound_events.unrouted(router.conn, 10))
    router.spin(lambda: not inbound_events.unrouted(router.conn, 10))

    assert answer == Committed(Outcome.ROUTED)
    assert held == 1
    assert len(router.rows()) == 2


def test_corrupt_session_file_stops_only_its_own_session(router: Router) -> None:
    router.send(message(1))
    session = router.session()
    folder = SessionFolder.of(router.config.paths, session.agent_group_id, session.id)
    folder.inbound_db.write_bytes(b"garbage" * 1000)

    (answer,) = router.send(message(2))

    assert answer == Committed(Outcome.ROUTED)
    assert router.session().quarantined_at is not None
    copies = list((router.config.paths.backups / "set-aside").rglob("inbound.db"))
    assert [copy.read_bytes()[:7] for copy in copies] == [b"garbage"]
