"""The containers that this sweep knows of, one per session, and where each one stands.

Held by ``sweep.loop``, which alone changes it, on the reactor's thread. A session is in the table
from the moment its lease is taken until its exit has been settled, which is what makes a hundred
wake-ups start one container. Lost with the process: the next sweep reads everything from the
central database and the runtime.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from contract.outbound.row import Ack, ContainerState
from contract.outbound.snapshot import ChangeToken
from nanoclaw.model import Session
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sweep.decide import Stop


class Stage(StrEnum):
    """STARTING has no container yet that we could name; SETTLING has none that runs."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SETTLING = "settling"


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """What the group allows, as far as the host watches over it."""

    idle: timedelta | None
    turn: timedelta | None
    disk_bytes: int


@dataclass(slots=True)
class OutputView:
    """What the agent's file said when it was last read, so that it is read only when it changes."""

    token: ChangeToken | None = None
    acks: tuple[Ack, ...] = ()
    claimed_at: dict[str, datetime] = field(default_factory=dict)
    """When each of them was made, as long as it was seen before it was settled."""
    state: ContainerState | None = None
    changed_at: datetime | None = None


@dataclass(slots=True)
class Agent:
    """One session's container."""

    session_id: str
    agent_group_id: str
    folder: SessionFolder
    lease: int
    limits: AgentLimits
    started_at: datetime
    out_seq_before: int
    runtime_version: str
    disk_folders: tuple[str, ...] = ()
    stage: Stage = Stage.STARTING
    container_id: str = ""
    outdated: bool = False
    stop: Stop | None = None
    view: OutputView = field(default_factory=OutputView)
    locked_since: float | None = None
    used_bytes: int = 0
    measure_at: float = 0.0
    disk_places: tuple[tuple[str, int], ...] = ()
    """Where most of it lies."""

    @property
    def is_up(self) -> bool:
        return self.stage is Stage.RUNNING


class AgentTable:
    """At most one agent per session."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}

    def __len__(self) -> int:
        return len(self._agents)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._agents

    def get(self, session_id: str) -> Agent | None:
        return self._agents.get(session_id)

    def add(self, agent: Agent) -> None:
        assert agent.session_id not in self._agents, "one agent per session"
        self._agents[agent.session_id] = agent

    def remove(self, agent: Agent) -> None:
        self._agents.pop(agent.session_id, None)

    def all(self) -> list[Agent]:
        return list(self._agents.values())

    def up(self) -> list[Agent]:
        return [agent for agent in self._agents.values() if agent.is_up]

    def by_container(self, container_id: str) -> Agent | None:
        for agent in self._agents.values():
            if agent.container_id == container_id:
                return agent
        return None

    def per_group(self) -> Counter[str]:
        return Counter(agent.agent_group_id for agent in self._agents.values())

    def session_ids(self) -> list[str]:
        return list(self._agents)


def agent_of(session: Session, folder: SessionFolder, limits: AgentLimits, now: datetime) -> Agent:
    """For a session whose lease is ours."""
    return Agent(
        session_id=session.id,
        agent_group_id=session.agent_group_id,
        folder=folder,
        lease=session.lease_token,
        limits=limits,
        started_at=session.container_started_at or now,
        out_seq_before=session.out_seq,
        runtime_version=session.runtime_version or "",
        container_id=session.container_id or "",
    )
