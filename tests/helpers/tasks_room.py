"""One agent with a session, and the effect runner of the delivery process, all in this process."""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from helpers.central import make_home

from contract.address import NOWHERE, Address
from contract.clock import utc_now
from contract.inbound.row import InboundRow, InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.outbound.row import OutboundRow
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, container_configs, effects, messaging_groups, sessions
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import Effect, NewEffect
from nanoclaw.effects.base import Handler
from nanoclaw.effects.request import dump_request
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.model import NewSession, Session, SessionMode
from nanoclaw.policy.binding import payload_hash
from nanoclaw.process.handlers import HANDLERS
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder

NOW = utc_now().replace(microsecond=0)
CHAT = Address("cli", "local", None)
HOUR = timedelta(hours=1)

Fields = dict[str, Any]
"""Of an action's JSON, for calls with ``**``; the host's own parser checks them."""


class NoRequests:
    """Nobody is asked anything in these tests."""

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        raise AssertionError(f"{instance} was asked {frame}")

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        raise AssertionError(f"the sweep was asked {frame}")


class TaskRoom:
    """Actions go in as the delivery process records them; rows come out of the session's file."""

    def __init__(self, folder: Path) -> None:
        self.config: HostConfig
        self.conn: sqlite3.Connection
        self.config, self.conn = make_home(folder)
        self.reactor = Reactor()
        (group,) = agent_groups.list_all(self.conn)
        self.group_id = group.id
        container_configs.ensure(self.conn, group.id, NOW)
        self.session = self.add_session("sess-1")
        self._rows = 0

    def close(self) -> None:
        self.reactor.close()
        self.conn.close()

    def add_session(self, session_id: str) -> Session:
        chat = messaging_groups.find_by_address(self.conn, "cli", "local")
        assert chat is not None
        new = NewSession(
            session_id, self.group_id, chat.id, None, SessionMode.SHARED, session_id, NOW
        )
        session = sessions.create(self.conn, new)
        self.folder(session).create()
        return session

    def folder(self, session: Session | None = None) -> SessionFolder:
        session = session or self.session
        return SessionFolder.of(self.config.paths, session.agent_group_id, session.id)

    def configure(self, change: ContainerConfigChange) -> None:
        container_configs.update(self.conn, self.group_id, change, NOW)

    # --- what an agent asks for -------------------------------------------------------------------

    def ask(
        self,
        action: str,
        session: Session | None = None,
        *,
        taint: str | None = None,
        at: datetime | None = None,
        given: Mapping[str, object] | None = None,
        **fields: object,
    ) -> str:
        """One system row; the id of its effect.

        Commands are dropped when they are minutes old, so theirs is the time of the call.
        """
        at = at or (utc_now() if action == "cli_request" else NOW)
        session = session or self.session
        self._rows += 1
        row = OutboundRow(
            id=f"out-{self._rows}",
            seq=2 * self._rows + 1,
            kind="system",
            timestamp=at,
            content=dump({"action": action, **(given or {}), **fields}),
            address=NOWHERE,
            in_reply_to=None,
            deliver_after=None,
            taint=taint,
            chain_id=None,
            hop=0,
        )
        return self.record(f"action:{action}", dump_request(row), session, f"out-{self._rows}", at)

    def record(
        self, kind: str, payload: str, session: Session, row_id: str, at: datetime = NOW
    ) -> str:
        new = NewEffect(
            effect_id=f"{session.id}/{row_id}",
            kind=kind,
            requested_by=f"agent:{session.agent_group_id}",
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=at,
            session_id=session.id,
            agent_group_id=session.agent_group_id,
        )
        assert effects.record(self.conn, new)
        return new.effect_id

    def schedule(
        self,
        task_id: str = "task-1",
        *,
        session: Session | None = None,
        taint: str | None = None,
        at: datetime = NOW,
        **fields: object,
    ) -> Effect:
        """A task for the chat, tomorrow at this hour unless the fields say otherwise."""
        given: dict[str, object] = {
            "taskId": task_id,
            "prompt": "Water the plants",
            "script": None,
            "processAfter": (NOW + timedelta(days=1)).isoformat(),
            "recurrence": None,
            "platformId": CHAT.platform_id,
            "channelType": CHAT.channel_type,
            "threadId": None,
        }
        asked = {**given, **fields}
        effect_id = self.ask("schedule_task", session, taint=taint, at=at, given=asked)
        self.run()
        return self.effect(effect_id)

    def do(
        self,
        action: str,
        session: Session | None = None,
        *,
        taint: str | None = None,
        at: datetime | None = None,
        **fields: object,
    ) -> Effect:
        """Asks and has it carried out; the effect as it ended."""
        effect_id = self.ask(action, session, taint=taint, at=at, given=fields)
        self.run()
        return self.effect(effect_id)

    def runner(self, handlers: Mapping[str, Handler] = HANDLERS) -> EffectRunner:
        return EffectRunner(self.reactor, self.conn, self.config, NoRequests(), handlers)

    def run(self, handlers: Mapping[str, Handler] = HANDLERS) -> None:
        """A fresh runner, as after a start, until nothing is due just now."""
        runner = self.runner(handlers)
        runner.start()
        while effects.due(self.conn, utc_now(), 1):
            self.reactor.run_once(0.05)
        runner.close()

    def effect(self, effect_id: str) -> Effect:
        found = effects.get(self.conn, effect_id)
        assert found is not None
        return found

    # --- what stands in files ---------------------------------------------------------------------

    def insert(self, row: NewInbound, session: Session | None = None) -> None:
        with open_inbound(self.folder(session).inbound_db) as writer:
            writer.insert_message(row)

    def row(self, row_id: str, session: Session | None = None) -> InboundRow:
        with open_inbound(self.folder(session).inbound_db) as writer:
            found = writer.find(row_id)
        assert found is not None
        return found

    def live(self, task_id: str = "task-1", session: Session | None = None) -> list[InboundRow]:
        with open_inbound(self.folder(session).inbound_db) as writer:
            return list(writer.live_tasks(task_id))

    def notes(self, session: Session | None = None) -> list[str]:
        """What the host has said to the agent."""
        path = self.folder(session).inbound_db
        conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = conn.execute(
                "SELECT content FROM messages_in WHERE channel_type = 'agent' ORDER BY seq"
            ).fetchall()
        finally:
            conn.close()
        return [row[0] for row in rows]

    def finish(self, row_id: str, status: InboundStatus = InboundStatus.COMPLETED) -> None:
        """The run is over, and delivery has taken its end over."""
        conn = sqlite3.connect(self.folder().inbound_db)
        try:
            conn.execute("UPDATE messages_in SET status = ? WHERE id = ?", (status, row_id))
            conn.commit()
        finally:
            conn.close()

    def due_at(self, session: Session | None = None) -> datetime | None:
        found = sessions.get(self.conn, (session or self.session).id)
        assert found is not None
        return found.next_due_at
