"""The delivery loop in the test's process, with a session that runs and workers that obey."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.central import make_home
from helpers.waiting import wait_until

from contract.address import Address
from contract.clock import utc_now
from contract.content import ChatOut, dump
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from contract.shape import Shape
from contract.watch import Watch
from nanoclaw.approvals.desk import CardDesk
from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, deliveries, destinations, messaging_groups, sessions
from nanoclaw.db.destinations import NewDestination
from nanoclaw.delivery.companion import Companion
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.events import (
    Deliver,
    Delivered,
    DeliveryKnowledge,
    DeliveryKnown,
    DeliveryStatus,
    Frame,
    Hello,
    SetTyping,
)
from nanoclaw.link import FrameServer, Peer, QuietHandler
from nanoclaw.model import (
    ContainerStart,
    Delivery,
    MessagingGroup,
    NewSession,
    Session,
    SessionMode,
    TargetType,
)
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder


class WorkerDouble(QuietHandler):
    """A channel worker that answers as it is told; default: delivered."""

    def __init__(self) -> None:
        self.frames: list[Deliver] = []
        self.answers: list[Frame | None] = []
        self.typing: list[SetTyping] = []
        self.silent = False
        self.capabilities = Capabilities(idempotent_send=IdempotentSend.KEY)

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, DeliveryStatus):
            peer.answer(request_id, DeliveryKnown(DeliveryKnowledge.UNKNOWN))
            return
        if not isinstance(body, Deliver):
            super().on_request(peer, request_id, body)
            return
        self.frames.append(body)
        answer = self.answers.pop(0) if self.answers else Delivered((f"p-{len(self.frames)}",))
        if answer is not None and not self.silent:
            peer.answer(request_id, answer)

    def on_notice(self, peer: Peer, body: Frame) -> None:
        if isinstance(body, SetTyping):
            self.typing.append(body)

    @property
    def texts(self) -> list[str]:
        return [str(json.loads(frame.content).get("text")) for frame in self.frames]


@dataclass
class _Served:
    worker: WorkerDouble
    server: FrameServer | None = None


class DeliveryRoom:
    """One home with one agent, its session ``sess-1`` in the terminal's chat, and its loop."""

    def __init__(self, config: HostConfig, conn: sqlite3.Connection) -> None:
        self.config, self.conn = config, conn
        self.reactor = Reactor()
        self._served: dict[str, _Served] = {"cli": _Served(WorkerDouble())}
        (self.group,) = agent_groups.list_all(conn)
        chat = messaging_groups.find_by_address(conn, "cli", "local")
        assert chat is not None
        self.chat = chat
        self.session = self.add_session("sess-1", chat.id)
        self.folder = self.folder_of(self.session)
        self.loop: DeliveryLoop | None = None
        self._told = 0

    # --- the world around -------------------------------------------------------------------------

    @property
    def worker(self) -> WorkerDouble:
        return self._served["cli"].worker

    @property
    def by_key(self) -> bool:
        return self.worker.capabilities.idempotent_send is IdempotentSend.KEY

    @by_key.setter
    def by_key(self, value: bool) -> None:
        send = IdempotentSend.KEY if value else IdempotentSend.NONE
        self.worker.capabilities = replace(self.worker.capabilities, idempotent_send=send)

    def add_session(self, session_id: str, chat_id: str | None) -> Session:
        """A running one, with its folder."""
        new = NewSession(
            session_id, self.group.id, chat_id, None, SessionMode.SHARED, session_id, utc_now()
        )
        session = sessions.create(self.conn, new)
        self.folder_of(session).create()
        start = ContainerStart(f"c-{session_id}", utc_now(), "v")
        sessions.set_running(self.conn, session_id, start)
        return session

    def add_chat(self, platform_id: str, channel: str = "cli") -> MessagingGroup:
        """A chat that the agent may write to, besides its session's own."""
        chat = MessagingGroup(f"mg-{platform_id}", channel, platform_id, utc_now(), platform_id)
        messaging_groups.create(self.conn, chat)
        destinations.create_with_free_name(
            self.conn,
            NewDestination(self.group.id, platform_id, TargetType.CHANNEL, chat.id, utc_now()),
        )
        return chat

    def folder_of(self, session: Session) -> SessionFolder:
        return SessionFolder.of(self.config.paths, session.agent_group_id, session.id)

    def add_worker(self, instance: str) -> WorkerDouble:
        served = _Served(WorkerDouble())
        self._served[instance] = served
        self.start_worker(instance)
        return served.worker

    def start_worker(self, instance: str = "cli") -> None:
        served = self._served[instance]
        hello = Hello(instance, instance, os.getpid(), capabilities=served.worker.capabilities)
        path = self.config.paths.socket(f"channel-{instance}")
        served.server = FrameServer(self.reactor, path, hello, served.worker)

    def stop_worker(self, instance: str = "cli") -> None:
        served = self._served[instance]
        if served.server is not None:
            served.server.close()
            served.server = None

    def start_loop(self, *, companions: bool = False) -> None:
        """``companions``: with effects and cards, as in the real process."""
        links = Links(self.reactor, self.config.paths)
        self.loop = DeliveryLoop(self.reactor, self.conn, self.config, Watch.open(), links)
        beside: tuple[Companion, ...] = ()
        if companions:
            from nanoclaw.process.handlers import HANDLERS  # half of the host

            beside = (
                EffectRunner(self.reactor, self.conn, self.config, links, HANDLERS),
                CardDesk(self.reactor, self.conn, self.config, links),
            )
        self.loop.start(beside)

    def stop_loop(self) -> None:
        if self.loop is not None:
            self.loop.close()
            self.loop = None

    # --- what an agent does -----------------------------------------------------------------------

    def say(self, *texts: str, chat: str = "local", done: str | None = None) -> None:
        """What a runner writes: rows, and the completion of their input, in one transaction."""
        rows = [self.row(f"out-{text}", ChatOut(text=text), chat=chat) for text in texts]
        self.write([replace(row, in_reply_to=done) for row in rows], done=[done] if done else [])

    def row(
        self, row_id: str, content: Shape | str, *, chat: str = "local", channel: str = "cli"
    ) -> NewOutbound:
        text = content if isinstance(content, str) else dump(content)
        return NewOutbound(row_id, "chat", utc_now(), text, Address(channel, chat))

    def write(
        self,
        rows: Sequence[NewOutbound],
        *,
        done: Sequence[str] = (),
        session: Session | None = None,
    ) -> None:
        folder = self.folder_of(session or self.session)
        with open_outbound(folder.out_dir / "outbound.db") as out:
            for row in rows:
                out.write_message(row, 2)
            if done:
                out.complete(list(done), utc_now())

    def claim(self, *ids: str) -> None:
        with open_outbound(self.folder.out_dir / "outbound.db") as out:
            out.claim(list(ids), 1, utc_now())

    def put_file(self, message_id: str, name: str, data: bytes = b"data") -> Path:
        folder = self.folder.out_dir / "files" / message_id
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(data)
        return path

    def receive(self, row: NewInbound, session: Session | None = None) -> None:
        """A row that the router has written into the inbox."""
        with open_inbound(self.folder_of(session or self.session).inbound_db) as writer:
            writer.insert_message(row)

    # --- looking ----------------------------------------------------------------------------------

    def spin(self, done: Callable[[], object], within: float = 10) -> None:
        def step() -> bool:
            for _ in range(50):
                self.reactor.run_once(0.001)
            return bool(done())

        wait_until(step, within=within)

    def states(self) -> list[str]:
        rows = self.conn.execute("SELECT state FROM deliveries ORDER BY row_number")
        return [row[0] for row in rows]

    def stored(self, row_id: str) -> Delivery:
        found = deliveries.get(self.conn, f"sess-1/{row_id}")
        assert found is not None
        return found

    def notes(self, session: Session | None = None) -> list[str]:
        """What the host has told the agent."""
        conn = sqlite3.connect(self.folder_of(session or self.session).inbound_db)
        try:
            rows = conn.execute("SELECT content FROM messages_in ORDER BY seq").fetchall()
        finally:
            conn.close()
        texts = [json.loads(row[0]) for row in rows if row[0].startswith("{")]
        return [str(item["text"]) for item in texts if item.get("senderId") == "system"]

    def close(self) -> None:
        self.stop_loop()
        for instance in self._served:
            self.stop_worker(instance)
        self.reactor.close()
        self.conn.close()


@contextmanager
def open_room(folder: Path) -> Iterator[DeliveryRoom]:
    config, conn = make_home(folder)
    room = DeliveryRoom(config, conn)
    try:
        yield room
    finally:
        room.close()
