"""The rows that make an agent and put it into a chat, for tools; H-303 says how they fit.

Used by ``first_agent``, ``group_new`` and ``register``, inside their one transaction. Everything is
looked for before it is made, so that a tool may be run again. The agent's folder is made before the
rows are committed: a host that sees the agent finds its personality too.
"""

import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.config import DEFAULT_PROVIDER
from contract.ids import new_id
from nanoclaw.audit import AuditEntry, record
from nanoclaw.config import HostConfig
from nanoclaw.containers.group_folder import ensure_group_folder
from nanoclaw.db import agent_groups, container_configs, messaging_groups, wirings
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.errors import ConfigError
from nanoclaw.first_agent import OFFLINE_PROVIDER
from nanoclaw.model import AgentGroup, MessagingGroup, Wiring
from nanoclaw.permissions.identity import namespaced_platform_id
from nanoclaw.sessions.new_group import MAX_NAME
from setup.names import folder_problem
from setup.templates import ensure_shared_memory

TERMINAL = "cli"


@dataclass(frozen=True, slots=True)
class Work:
    """What all rows of one run have in common."""

    conn: sqlite3.Connection
    config: HostConfig
    now: datetime
    dry_run: bool = False

    def audit(self, kind: str, subject: str, agent_group_id: str | None, **detail: object) -> None:
        said = {**detail, "uid": os.getuid()}
        record(self.conn, AuditEntry(kind, "host", subject, said, agent_group_id), self.now)


def checked_agent_name(name: str) -> str:
    """Raises ConfigError."""
    name = name.strip()
    if not name or not name.isprintable() or len(name) > MAX_NAME:
        raise ConfigError(f"an agent's name has 1 to {MAX_NAME} visible characters")
    return name


def checked_folder(folder: str) -> str:
    """Raises ConfigError."""
    problem = folder_problem(folder)
    if problem is not None:
        raise ConfigError(problem)
    return folder


def chat_id(channel: str, raw: str) -> str:
    """S-246, but for the terminal, whose chats have no prefix."""
    return raw if channel == TERMINAL else namespaced_platform_id(channel, raw)


def agent(work: Work, name: str, folder: str, instructions: str) -> tuple[AgentGroup, bool]:
    """The agent of that folder; True when it was made now. Its files are made if missing."""
    found = agent_groups.get_by_folder(work.conn, folder)
    group = found or AgentGroup(new_id("ag"), checked_agent_name(name), folder, work.now)
    if found is None:
        agent_groups.create(work.conn, group)
        container_configs.ensure(work.conn, group.id, work.now)
        chosen = DEFAULT_PROVIDER if work.config.model_key_present else OFFLINE_PROVIDER
        change = ContainerConfigChange(provider=work.config.provider or chosen)
        container_configs.update(work.conn, group.id, change, work.now)
        work.audit("agent.created", group.id, group.id, name=group.name, folder=folder)
    if not work.dry_run:
        ensure_shared_memory(work.config.paths)
        ensure_group_folder(work.config.paths, folder, instructions)
    return group, found is None


def chat(work: Work, wanted: MessagingGroup) -> tuple[MessagingGroup, bool]:
    """The chat of that address; True when it was made now. An earlier refusal is taken back."""
    found = messaging_groups.find_or_create(work.conn, wanted)
    if found.denied_at is not None:
        messaging_groups.set_denied(work.conn, found.id, None)
    return found, found.id == wanted.id


def wire(work: Work, wanted: Wiring) -> bool:
    """True when the agent did not listen in that chat before; it may then answer there as well."""
    pair = wanted.messaging_group_id, wanted.agent_group_id
    if wirings.get_by_pair(work.conn, *pair) is not None:
        return False
    wirings.create(work.conn, wanted)
    work.audit("chat.wired", wanted.messaging_group_id, wanted.agent_group_id, wiring=wanted.id)
    return True
