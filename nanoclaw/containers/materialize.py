"""Writes what a runner reads at its start into the session's ``in`` folder.

Called by ``sweep.starter`` before each start. Each file is replaced as a whole, because a dying
runner may still be reading the old one and compares its lease with the new one; ``session.json``
comes last. Nothing here is ever read back by the host (H-172).
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from contract import layout
from contract.address import NOWHERE, Address, Destination, DestinationType
from contract.config import (
    DEFAULT_HEARTBEAT_SECONDS,
    DEFAULT_MESSAGES_PER_PROMPT,
    DEFAULT_PROVIDER,
    DoorConfig,
    Packages,
    RunnerConfig,
    SessionConfig,
    dump_config,
)
from contract.inbound.writer import open_inbound
from nanoclaw.containers.files import write_file
from nanoclaw.containers.instructions import (
    compose,
    content_folder,
    selected_skills,
    write_composition,
)
from nanoclaw.containers.spec import decide_limits, session_limits
from nanoclaw.db import agent_groups, destinations, messaging_groups
from nanoclaw.model import AgentGroup, ContainerConfig, DestinationRow, Session, TargetType
from nanoclaw.sessions.folder import SessionFolder


@dataclass(frozen=True, slots=True)
class InstallFacts:
    """Settings of the installation that reach the runner."""

    timezone: str
    assistant_name: str
    provider: str
    idle_exit_seconds: int


@dataclass(frozen=True, slots=True)
class StartFacts:
    """One start of one session."""

    session: Session
    group: AgentGroup
    config: ContainerConfig
    install: InstallFacts
    lease: int
    door: DoorConfig | None = None


def decide_provider(facts: StartFacts) -> str:
    """The nearest one that is set (H-178); empty counts as unset."""
    candidates = (
        facts.session.agent_provider,
        facts.config.provider,
        facts.group.agent_provider,
        facts.install.provider,
    )
    chosen = next((name.strip() for name in candidates if name and name.strip()), "")
    return (chosen or DEFAULT_PROVIDER).lower()


def idle_exit_seconds(facts: StartFacts) -> int:
    """When an idle runner leaves by itself; 0: never."""
    own = facts.config.idle_exit_seconds
    return facts.install.idle_exit_seconds if own is None else own


def session_config(facts: StartFacts) -> SessionConfig:
    """``in/session.json``: this start and its lease."""
    config = facts.config
    return SessionConfig(
        session_id=facts.session.id,
        agent_group_id=facts.group.id,
        lease=facts.lease,
        provider=decide_provider(facts),
        idle_exit_seconds=idle_exit_seconds(facts),
        heartbeat_seconds=DEFAULT_HEARTBEAT_SECONDS,
        limits=session_limits(decide_limits(config), config),
        timezone=facts.install.timezone,
        assistant_name=config.assistant_name or facts.install.assistant_name,
        door=facts.door,
    )


def runner_config(facts: StartFacts) -> RunnerConfig:
    """``in/container.json``: the group's configuration (H-173)."""
    config = facts.config
    skills = selected_skills(config)
    return RunnerConfig(
        provider=decide_provider(facts),
        assistant_name=config.assistant_name or facts.group.name,
        group_name=facts.group.name,
        agent_group_id=facts.group.id,
        max_messages_per_prompt=config.max_messages_per_prompt or DEFAULT_MESSAGES_PER_PROMPT,
        mcp_servers=config.mcp_servers,
        packages=Packages(
            apt=config.packages_apt, npm=config.packages_npm, pip=config.packages_pip
        ),
        image_tag=config.image_tag,
        additional_mounts=config.additional_mounts,
        skills="all" if skills is None else skills,
        model=config.model,
        effort=config.effort,
        script=config.script,
    )


def materialize(conn: sqlite3.Connection, folder: SessionFolder, facts: StartFacts) -> None:
    """Everything a runner reads. Raises SessionFileError and OSError; safe to repeat."""
    targets = tuple(_destinations(conn, facts.group.id))
    own_chat = _own_chat(conn, facts.session)
    with open_inbound(folder.inbound_db) as writer:
        writer.replace_destinations(targets)
        writer.set_session_routing(own_chat)
    write_file(folder.in_dir / layout.CONTAINER_JSON, dump_config(runner_config(facts)))
    write_composition(folder.in_dir, compose(facts.config, content_folder()))
    write_file(folder.in_dir / layout.SESSION_JSON, dump_config(session_config(facts)))


def _own_chat(conn: sqlite3.Connection, session: Session) -> Address:
    """Where the session's answers go by default (H-49)."""
    if session.messaging_group_id is None:
        return NOWHERE
    chat = messaging_groups.get(conn, session.messaging_group_id)
    if chat is None:
        return NOWHERE
    return Address(chat.channel_type, chat.platform_id, session.thread_id)


def _destinations(conn: sqlite3.Connection, agent_group_id: str) -> Iterator[Destination]:
    """The agent's permitted targets; those whose target is gone are left out (H-50)."""
    for row in destinations.of_agent_group(conn, agent_group_id):
        destination = _destination(conn, row)
        if destination is not None:
            yield destination


def _destination(conn: sqlite3.Connection, row: DestinationRow) -> Destination | None:
    if row.target_type is TargetType.AGENT:
        group = agent_groups.get(conn, row.target_id)
        if group is None:
            return None
        return Destination(
            row.local_name, group.name, DestinationType.AGENT, agent_group_id=group.id
        )
    chat = messaging_groups.get(conn, row.target_id)
    if chat is None:
        return None
    return Destination(
        row.local_name,
        chat.name or row.local_name,
        DestinationType.CHANNEL,
        channel_type=chat.channel_type,
        platform_id=chat.platform_id,
    )
