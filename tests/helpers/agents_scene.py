"""Two agents with a session each in a throw-away home, and effects of theirs carried out at once.

``Scene.carry_out`` runs one effect as the delivery process does, until it ends; what it asks of the
sweep is answered by ``Sweep``, a double that remembers frames.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import InboundRow, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.outbound.row import OutboundRow
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, container_configs, destinations, effects, sessions
from nanoclaw.db.connection import open_central
from nanoclaw.db.effects import Effect, NewEffect
from nanoclaw.db.migrations import migrate
from nanoclaw.effects.base import Again, EffectContext, HandlerResult, Outcome, UnderWay
from nanoclaw.effects.request import dump_request
from nanoclaw.events import BuildImage, Frame, ImageBuilt, Ok, StopContainers
from nanoclaw.link import Answer
from nanoclaw.model import (
    AgentGroup,
    ContainerConfig,
    ContainerStart,
    DestinationRow,
    NewSession,
    Session,
    SessionMode,
    TargetType,
)
from nanoclaw.policy.binding import payload_hash
from nanoclaw.process.handlers import HANDLERS
from nanoclaw.sessions.folder import SessionFolder

MAX_ATTEMPTS = 200


@dataclass
class Sweep:
    """Answers every request at once; ``builds`` says how builds end."""

    scene: "Scene"
    builds: Callable[[BuildImage], Answer] = lambda frame: ImageBuilt(
        tag=f"image:{'+'.join((*frame.apt, *frame.npm, *frame.pip))}"
    )
    frames: list[Frame] = field(default_factory=list)
    stops: bool = True
    """Containers that are asked to stop are gone right after."""

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        raise AssertionError("nobody here talks to channels")

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        self.frames.append(frame)
        if isinstance(frame, BuildImage):
            on_answer(self.builds(frame))
            return
        assert isinstance(frame, StopContainers)
        if self.stops:
            for session_id in frame.session_ids:
                self.scene.stop(session_id)
        on_answer(Ok())

    def stopped(self) -> list[str]:
        """Sessions whose containers were to be stopped, in order."""
        return [
            session_id
            for frame in self.frames
            if isinstance(frame, StopContainers)
            for session_id in frame.session_ids
        ]


class Scene:
    """Agents ``ag-a`` (Ann) and ``ag-b`` (Ben), who know each other as ``ben`` and ``ann``."""

    def __init__(self, folder: Path, *, new: bool = True) -> None:
        """``new`` False: one that another process has made."""
        self.config = HostConfig(folder / "home")
        self.paths = self.config.paths
        self.paths.ensure()
        self.conn: sqlite3.Connection = open_central(self.paths.central_db)
        self.sweep = Sweep(self)
        self.now = utc_now()
        self._effects = 0
        if new:
            self._make()

    def _make(self) -> None:
        migrate(self.conn)
        self.ann = self.add_agent("ag-a", "Ann")
        self.ben = self.add_agent("ag-b", "Ben")
        self.connect("ag-a", "ben", "ag-b")
        self.connect("ag-b", "ann", "ag-a")
        self.a = self.add_session("sess-a", "ag-a")
        self.b = self.add_session("sess-b", "ag-b")

    def close(self) -> None:
        self.conn.close()

    # --- what there is ----------------------------------------------------------------------------

    def add_agent(self, agent_group_id: str, name: str) -> AgentGroup:
        group = AgentGroup(agent_group_id, name, agent_group_id, self.now)
        agent_groups.create(self.conn, group)
        container_configs.ensure(self.conn, agent_group_id, self.now)
        return group

    def connect(self, agent_group_id: str, name: str, target_id: str) -> None:
        row = DestinationRow(agent_group_id, name, TargetType.AGENT, target_id, self.now)
        destinations.create(self.conn, row)

    def add_session(
        self, session_id: str, agent_group_id: str, mode: SessionMode = SessionMode.SHARED
    ) -> Session:
        """One of its own, which nobody finds by a key."""
        new = NewSession(session_id, agent_group_id, None, None, mode, None, self.now)
        session = sessions.create(self.conn, new)
        SessionFolder.of(self.paths, agent_group_id, session_id).create()
        return session

    def run(self, session_id: str) -> None:
        """A container works for it."""
        started_at = utc_now() - timedelta(seconds=1)
        sessions.acquire_lease(self.conn, session_id, "us", started_at, timedelta(hours=1))
        sessions.set_running(
            self.conn, session_id, ContainerStart(f"c-{session_id}", started_at, "v")
        )

    def stop(self, session_id: str) -> None:
        session = self.session(session_id)
        sessions.set_stopped(self.conn, session_id)
        sessions.release_lease(self.conn, session_id, session.lease_token)

    def session(self, session_id: str) -> Session:
        found = sessions.get(self.conn, session_id)
        assert found is not None
        return found

    def config_of(self, agent_group_id: str) -> ContainerConfig:
        found = container_configs.get(self.conn, agent_group_id)
        assert found is not None
        return found

    # --- session files ----------------------------------------------------------------------------

    def folder(self, session: Session) -> SessionFolder:
        return SessionFolder.of(self.paths, session.agent_group_id, session.id)

    def inbox(self, session: Session) -> list[InboundRow]:
        """Every row, by number."""
        with open_inbound(self.folder(session).inbound_db, busy_ms=2000) as writer:
            rows = [writer.find(message_id) for message_id in writer.pending_ids()]
        return sorted((row for row in rows if row is not None), key=lambda row: row.seq)

    def texts(self, session: Session) -> list[str]:
        return [row.content for row in self.inbox(session)]

    def put(self, session: Session, row: NewInbound) -> None:
        with open_inbound(self.folder(session).inbound_db, busy_ms=2000) as writer:
            writer.insert_message(row)

    def put_from_agent(
        self, session: Session, message_id: str, peer_id: str, origin: str | None
    ) -> None:
        """A row as another agent's message makes it."""
        self.put(
            session,
            NewInbound(
                message_id, "chat", self.now, '{"text":"hi"}', Address("agent", peer_id),
                source_session_id=origin,
            ),
        )  # fmt: skip

    def out_file(self, session: Session, message_id: str, name: str, data: bytes = b"x") -> Path:
        """A file as the agent's tools leave it."""
        path = self.folder(session).out_dir / "files" / message_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    # --- effects ----------------------------------------------------------------------------------

    def message(
        self, session: Session, target_id: str | None, content: object = None, **columns: object
    ) -> Effect:
        """The effect of a row that is addressed to an agent."""
        self._effects += 1
        content = {"text": "hello"} if content is None else content
        row = {
            "id": f"msg-{self._effects}", "seq": 2 * self._effects + 1, "kind": "chat",
            "timestamp": self.now, "content": dump(content),
            "address": Address("agent", target_id), "in_reply_to": None, "deliver_after": None,
            "taint": None, "chain_id": None, "hop": 0, **columns,
        }  # fmt: skip
        out = OutboundRow(**row)  # type: ignore[arg-type]  # a test may put anything in
        return self.record(session, "agent_message", dump_request(out), str(row["id"]))

    def action(self, session: Session, content: Mapping[str, object], **columns: object) -> Effect:
        """The effect of a system row."""
        self._effects += 1
        row = {
            "id": f"sys-{self._effects}", "seq": 2 * self._effects + 1, "kind": "system",
            "timestamp": self.now, "content": dump(content), "address": Address(),
            "in_reply_to": None, "deliver_after": None, "taint": None, "chain_id": None, "hop": 0,
            **columns,
        }  # fmt: skip
        out = OutboundRow(**row)  # type: ignore[arg-type]  # a test may put anything in
        return self.record(session, f"action:{content['action']}", dump_request(out), out.id)

    def record(self, session: Session | None, kind: str, payload: str, name: str) -> Effect:
        effect_id = f"{session.id if session else 'host'}/{name}"
        effects.record(
            self.conn,
            NewEffect(
                effect_id=effect_id,
                kind=kind,
                requested_by=f"agent:{session.agent_group_id}" if session else "host",
                payload=payload,
                payload_hash=payload_hash(payload),
                created_at=self.now,
                session_id=session.id if session else None,
                agent_group_id=session.agent_group_id if session else None,
            ),
        )
        return self.effect(effect_id)

    def effect(self, effect_id: str) -> Effect:
        found = effects.get(self.conn, effect_id)
        assert found is not None
        return found

    def carry_out(self, effect: Effect) -> Outcome:
        """Again and again, until it ends; "Again" after a sensible number of attempts."""
        outcome: Outcome = Again("not begun")
        for _ in range(MAX_ATTEMPTS):
            outcome = self.attempt(effect)
            if not isinstance(outcome, Again):
                return outcome
            self.now += timedelta(milliseconds=1)
        return outcome

    def attempt(self, effect: Effect) -> Outcome:
        """Once."""
        completed: list[Outcome] = []

        def go_on(_: str, step: Callable[[], HandlerResult]) -> None:
            result = step()
            if not isinstance(result, UnderWay):
                completed.append(result)

        context = EffectContext(
            self.conn, self.config, self.sweep, self.now,
            lambda _, outcome: completed.append(outcome), go_on,
        )  # fmt: skip
        result = HANDLERS[effect.kind](context, effect)
        if isinstance(result, UnderWay):
            (result,) = completed
            assert not isinstance(result, UnderWay)
        return result

    def due_effects(self, kind: str) -> list[Effect]:
        found = effects.due(self.conn, utc_now() + timedelta(days=1), 100)
        return [effect for effect in found if effect.kind == kind]

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.conn.execute(statement)]
