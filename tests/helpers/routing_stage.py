"""The router's loop in the test's process, with channel workers and a sweep around it."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.central import make_home
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.inbound.reader import read_pending_ids, read_row
from contract.inbound.row import InboundRow
from contract.jsontext import parse_object
from nanoclaw.bell import ROUTER, ring
from nanoclaw.capabilities import Capabilities
from nanoclaw.channels.spool import Stored, open_spool, store_inbound
from nanoclaw.config import HostConfig
from nanoclaw.db import (
    agent_groups,
    deliveries,
    inbound_events,
    members,
    messaging_groups,
    roles,
    sessions,
    users,
    wirings,
)
from nanoclaw.db.members import Member
from nanoclaw.events import Attachment, Committed, Frame, Hello, Inbound, InboundEvent, Wake
from nanoclaw.link import Answer, FrameClient, FrameServer, Peer, QuietHandler
from nanoclaw.model import (
    AgentGroup,
    Delivery,
    DeliverySource,
    EngageMode,
    MessagingGroup,
    Role,
    RoleGrant,
    Session,
    UnknownSenderPolicy,
    User,
    Wiring,
)
from nanoclaw.reactor import Reactor
from nanoclaw.routing.bell_watch import BellWatch
from nanoclaw.routing.loop import RouterLoop
from nanoclaw.sessions.folder import SessionFolder

CHANNEL = "double"
CHAT = "double:c1"
ALICE = "double:alice"
OWNER = "double:owner"


class SweepDouble(QuietHandler):
    def __init__(self) -> None:
        self.woken: list[str] = []

    def on_notice(self, peer: Peer, body: Frame) -> None:
        assert isinstance(body, Wake)
        self.woken.extend(body.session_ids)


class WorkerDouble(QuietHandler):
    """Remembers what the router says to a channel by itself."""

    def __init__(self) -> None:
        self.hints: list[Frame] = []

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self.hints.append(body)


class RouterStage:
    """A home, a router, and one worker per channel, made when it is first used."""

    def __init__(self, folder: Path) -> None:
        self.config: HostConfig
        self.conn: sqlite3.Connection
        self.config, self.conn = make_home(folder)
        self.reactor = Reactor()
        self.sweep = SweepDouble()
        self.paths = self.config.paths
        hello = Hello("router", "router", 1)
        self._sweep_server = FrameServer(
            self.reactor, self.paths.socket("sweep"), hello, self.sweep
        )
        self._nudge = FrameClient(self.reactor, self.paths.socket("sweep"), hello, QuietHandler())
        self._nudge.connect()
        self.loop = RouterLoop(self.reactor, self.conn, self.paths, self._nudge)
        self._server = FrameServer(self.reactor, self.paths.socket("router"), hello, self.loop)
        self._bell = BellWatch(self.reactor, self.paths, self.loop.look)
        self._workers: dict[str, tuple[FrameClient, WorkerDouble]] = {}

    def close(self) -> None:
        for client, _ in self._workers.values():
            client.close()
        self._bell.close()
        self._nudge.close()
        self._server.close()
        self._sweep_server.close()
        self.loop.close()
        self.reactor.close()
        self.conn.close()

    # --- the world --------------------------------------------------------------------------------

    def agent(self, agent_id: str = "ag-1", name: str = "Andy") -> AgentGroup:
        group = AgentGroup(agent_id, name, agent_id, utc_now())
        agent_groups.create(self.conn, group)
        return group

    def chat(self, platform_id: str = CHAT, **changes: Any) -> MessagingGroup:
        group = MessagingGroup(
            f"mg-{platform_id}",
            changes.pop("channel_type", CHANNEL),
            platform_id,
            utc_now(),
            unknown_sender_policy=changes.pop("policy", UnknownSenderPolicy.PUBLIC),
        )
        group = replace(group, **changes)
        messaging_groups.create(self.conn, group)
        return group

    def wire(self, chat: MessagingGroup, agent_id: str = "ag-1", **changes: Any) -> Wiring:
        wiring = Wiring(
            f"mga-{chat.id}-{agent_id}",
            chat.id,
            agent_id,
            utc_now(),
            engage_mode=EngageMode.PATTERN,
            engage_pattern=".",
        )
        wiring = replace(wiring, **changes)
        wirings.create(self.conn, wiring)
        return wiring

    def member(self, user_id: str = ALICE, agent_id: str = "ag-1") -> None:
        self.user(user_id)
        members.add(self.conn, Member(user_id, agent_id, utc_now()))

    def user(self, user_id: str) -> None:
        users.add_if_new(self.conn, User(user_id, user_id.partition(":")[0], utc_now()))

    def owner(self, user_id: str = OWNER) -> None:
        self.user(user_id)
        roles.grant(self.conn, RoleGrant(user_id, Role.OWNER, utc_now()))

    def spool(self, data: bytes, name: str = "photo.jpg", **changes: Any) -> Attachment:
        """A file as a channel has fetched it."""
        folder = self.paths.channel(CHANNEL)
        open_spool(folder)
        stored: Stored = store_inbound(folder, [data], 1 << 30)
        attachment = Attachment(
            "image", name, "image/jpeg", stored.size, stored.spool, stored.sha256
        )
        return replace(attachment, **changes)

    # --- what happens -----------------------------------------------------------------------------

    def spin(self, done: Callable[[], object], what: str | None = None) -> None:
        def step() -> bool:
            self.reactor.run_once(0.01)
            return bool(done())

        wait_until(step, within=10, what=what)

    def worker(self, name: str = CHANNEL, *, threads: bool = False) -> FrameClient:
        if name not in self._workers:
            hello = Hello(
                name, name.partition("-")[0], 1, capabilities=Capabilities(supports_threads=threads)
            )
            double = WorkerDouble()
            client = FrameClient(self.reactor, self.paths.socket("router"), hello, double)
            client.connect()
            self._workers[name] = (client, double)
            self.spin(lambda: client.connected)
        return self._workers[name][0]

    def hints(self, name: str = CHANNEL) -> list[Frame]:
        return self._workers[name][1].hints

    def ask(self, frame: Frame, channel: str = CHANNEL) -> Answer:
        answers: list[Answer] = []
        self.worker(channel).request(frame, 5, answers.append)
        self.spin(lambda: answers, f"an answer to {frame}")
        return answers[0]

    def send(self, *events: InboundEvent, channel: str = CHANNEL) -> list[Committed]:
        answers: list[Answer] = []
        for event in events:
            self.worker(channel).request(Inbound(event), 5, answers.append)
        self.spin(lambda: len(answers) == len(events), "all answers")
        committed = [answer for answer in answers if isinstance(answer, Committed)]
        assert len(committed) == len(events), answers
        return committed

    def settle(self) -> None:
        """Until everything that can be written is written."""
        self.spin(lambda: not inbound_events.unrouted(self.conn, 1), "the log is worked off")

    def ring(self) -> None:
        ring(self.paths, ROUTER)

    # --- what came of it --------------------------------------------------------------------------

    def session(self, agent_id: str = "ag-1") -> Session:
        (session,) = self.sessions(agent_id)
        return session

    def sessions(self, agent_id: str = "ag-1") -> list[Session]:
        return [s for s in sessions.list_all(self.conn, 100) if s.agent_group_id == agent_id]

    def folder(self, session: Session) -> SessionFolder:
        return SessionFolder.of(self.paths, session.agent_group_id, session.id)

    def rows(self, session: Session) -> list[InboundRow]:
        file = self.folder(session).inbound_db
        if not file.exists():
            return []
        rows = [read_row(file, key) for key in read_pending_ids(file)]
        return sorted((row for row in rows if row is not None), key=lambda row: row.seq)

    def rows_of(self, agent_id: str = "ag-1") -> list[InboundRow]:
        return [row for session in self.sessions(agent_id) for row in self.rows(session)]

    def said(self) -> list[Delivery]:
        """What the host itself has queued."""
        queued = deliveries.due(self.conn, utc_now(), 100)
        return [delivery for delivery in queued if delivery.source is DeliverySource.HOST]

    def said_texts(self) -> list[str]:
        return [str(parse_object(d.content, max_bytes=10**6)["text"]) for d in self.said()]


def message(number: int = 1, text: str = "hello", **changes: Any) -> InboundEvent:
    event = InboundEvent(
        event_key=f"key-{number}",
        message_id=f"m-{number}",
        platform_id=CHAT,
        sender_id="alice",
        timestamp="2026-11-21T10:00:00.000Z",
        sender_name="Alice",
        text=text,
    )
    return replace(event, **changes)
