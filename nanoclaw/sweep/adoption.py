"""Compares what the runtime knows with what the host believes, after every interruption.

Called by ``loop`` when a connection to the runtime stands: at the first one after a start of the
sweep, and after every gap in its events. A container whose labels name a session and its present
lease is ours and is adopted, dead or alive; every other one of this installation is removed.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from contract.clock import utc_now
from nanoclaw.containers.runtime import Found, RunState
from nanoclaw.db import agent_groups, sessions
from nanoclaw.model import ContainerStart, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sweep.agents import Agent, AgentLimits, AgentTable, Stage, agent_of
from nanoclaw.sweep.exits import Exits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdoptionParts:
    """What ``loop`` shares with it."""

    conn: sqlite3.Connection
    paths: HostPaths
    owner: str
    version: str
    """Of the runner's code that new containers get."""
    agents: AgentTable
    exits: Exits
    limits_of: Callable[[str], AgentLimits]
    remove: Callable[[str], None]


class Adoption:
    """Owned by the ``sweep`` process."""

    def __init__(self, parts: AdoptionParts) -> None:
        self._parts = parts

    def compare(self, found: list[Found], known_before: frozenset[str]) -> None:
        """``known_before``: containers that were in the table when the list was asked for; a
        younger one need not be in it."""
        listed = {container.container_id for container in found}
        for container in found:
            self._take(container)
        for agent in self._parts.agents.all():
            if agent.container_id in known_before and agent.container_id not in listed:
                self._parts.exits.vanished(agent)
        for session in sessions.running(self._parts.conn):
            if session.id not in self._parts.agents:
                self._parts.exits.vanished(self._agent(session, None))

    def confirm(self, found: list[Found], known_before: frozenset[str]) -> None:
        """Only what cannot be otherwise any more: the dead stay dead, what is gone stays gone."""
        for container in found:
            agent = self._parts.agents.by_container(container.container_id)
            if agent is not None and container.state is RunState.EXITED:
                self._parts.exits.ended(agent)
        listed = {container.container_id for container in found}
        for agent in self._parts.agents.all():
            if agent.container_id in known_before and agent.container_id not in listed:
                self._parts.exits.vanished(agent)

    def _take(self, container: Found) -> None:
        agent = self._parts.agents.by_container(container.container_id)
        if agent is not None:
            if container.state is not RunState.RUNNING:
                self._parts.exits.ended(agent)
            return
        if self._is_being_started(container):
            return
        session = self._owner_of(container)
        if session is None:
            self._remove(container)
            return
        match container.state:
            case RunState.RUNNING:
                self._adopt(session, container)
            case RunState.EXITED:
                self._parts.exits.ended(self._agent(session, container))
            case RunState.CREATED:
                self._remove(container)
            case _:
                assert_never(container.state)

    def _is_being_started(self, container: Found) -> bool:
        """Made by a call of ours that has not come back yet."""
        agent = self._parts.agents.get(container.session_id or "")
        if agent is None or agent.stage is not Stage.STARTING:
            return False
        return agent.lease == container.lease

    def _owner_of(self, container: Found) -> Session | None:
        """The session it works for, if it is the one that may."""
        if container.session_id is None or container.session_id in self._parts.agents:
            return None
        session = sessions.get(self._parts.conn, container.session_id)
        if session is None or session.quarantined_at is not None:
            return None
        leased = session.lease_owner == self._parts.owner
        return session if leased and session.lease_token == container.lease else None

    def _adopt(self, session: Session, container: Found) -> None:
        agent = self._agent(session, container)
        agent.stage = Stage.RUNNING
        agent.outdated = container.runtime_version != self._parts.version
        if not session.is_running or session.container_id != container.container_id:
            start = ContainerStart(container.container_id, agent.started_at, agent.runtime_version)
            sessions.set_running(self._parts.conn, session.id, start)
        log.info(
            "agent adopted",
            extra={
                "session": session.id,
                "container": container.container_id[:12],
                "reason": "older version, leaves when idle" if agent.outdated else None,
            },
        )

    def _agent(self, session: Session, container: Found | None) -> Agent:
        """A new entry of the table."""
        folder = SessionFolder.of(self._parts.paths, session.agent_group_id, session.id)
        limits = self._parts.limits_of(session.agent_group_id)
        agent = agent_of(session, folder, limits, utc_now())
        if container is not None:
            agent.container_id = container.container_id
            agent.runtime_version = container.runtime_version or ""
        agent.stage = Stage.RUNNING
        agent.disk_folders = self.disk_folders(session)
        self._parts.agents.add(agent)
        return agent

    def disk_folders(self, session: Session) -> tuple[str, ...]:
        """What its agent can write."""
        folder = SessionFolder.of(self._parts.paths, session.agent_group_id, session.id)
        group = agent_groups.get(self._parts.conn, session.agent_group_id)
        own = (str(folder.out_dir), str(folder.root.parent / "home"))
        return own if group is None else (*own, str(self._parts.paths.groups / group.folder))

    def _remove(self, container: Found) -> None:
        log.warning(
            "stray container removed",
            extra={"session": container.session_id, "container": container.container_id[:12]},
        )
        self._parts.remove(container.container_id)
