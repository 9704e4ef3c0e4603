"""Writes what a runner reads at its start into the session's ``in`` folder.

Called by ``sweep.starter`` before each start. Each file is replaced as a whole, because a dying
runner may still be reading the old one and compares its lease with the new one; ``session.json``
comes last. Nothing here is ever read back by the host (H-172).
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract import layout
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
from nanoclaw.model import AgentGroup, ContainerConfig, Session
from nanoclaw.sessions.destinations import destinations_of, own_address, project
from nanoclaw.sessions.folder import SessionFolder

DEFAULT_WEB_TOOLS = "auto"


@dataclass(frozen=True, slots=True)
class InstallFacts:
    """Settings of the installation that reach the runner."""

    timezone: str
    assistant_name: str
    provider: str
    idle_exit_seconds: int
    prices: Mapping[str, object] = field(default_factory=dict)


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
    """``in/container.json``: the group's configuration (H-173, R-332)."""
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
        idle_exit_seconds=idle_exit_seconds(facts),
        script=config.script,
        fallback_model=config.fallback_model,
        max_turn_seconds=config.max_turn_seconds,
        max_cost_per_turn_usd=config.max_cost_per_turn_usd,
        max_cost_per_day_usd=config.max_cost_per_day_usd,
        native_attachments=config.native_attachments,
        compat=config.compat,
        prices={**facts.install.prices, **config.prices},
        web_tools=config.web_tools or DEFAULT_WEB_TOOLS,
        tool_timeouts=config.tool_timeouts,
        disabled_tools=config.disabled_tools,
    )


def materialize(conn: sqlite3.Connection, folder: SessionFolder, facts: StartFacts) -> None:
    """Everything a runner reads. Raises SessionFileError and OSError; safe to repeat."""
    targets = tuple(destinations_of(conn, facts.group.id))
    with open_inbound(folder.inbound_db) as writer:
        project(writer, targets, own_address(conn, facts.session, targets, writer))
    write_file(folder.in_dir / layout.CONTAINER_JSON, dump_config(runner_config(facts)))
    write_composition(folder.in_dir, compose(facts.config, content_folder()))
    write_file(folder.in_dir / layout.SESSION_JSON, dump_config(session_config(facts)))
