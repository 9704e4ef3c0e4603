"""The first agent of a fresh installation, wired to the terminal, and its first owner.

Called by preflight. Makes no agent once any group exists, so that deleting or renaming the first
one is never undone; the set-up wizard replaces its name and personality. An installation without
any owner could ask nobody for anything, so the person at the terminal becomes one: whoever holds
its socket has an operator's rights anyway (H-269).
"""

import sqlite3
from datetime import datetime

from contract.config import DEFAULT_PROVIDER
from contract.ids import new_id
from nanoclaw.audit import AuditEntry, record
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, container_configs, messaging_groups, roles, users, wirings
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import (
    AgentGroup,
    EngageMode,
    MessagingGroup,
    Role,
    RoleGrant,
    UnknownSenderPolicy,
    User,
    Wiring,
)

FOLDER = "main"
TERMINAL_CHANNEL = "cli"
TERMINAL_CHAT = "local"
TERMINAL_USER = "cli:local"
OFFLINE_PROVIDER = "scripted"


def ensure_first_agent(conn: sqlite3.Connection, config: HostConfig, now: datetime) -> bool:
    """True when it was made now. The combination of rows is the one of H-303."""
    ensure_owner(conn, now)
    if agent_groups.any_exists(conn):
        return False
    with transaction(conn):
        if agent_groups.any_exists(conn):
            return False
        group = AgentGroup(new_id("ag"), config.assistant_name, FOLDER, now)
        agent_groups.create(conn, group)
        container_configs.ensure(conn, group.id, now)
        chosen = DEFAULT_PROVIDER if config.model_key_present else OFFLINE_PROVIDER
        provider = ContainerConfigChange(provider=config.provider or chosen)
        container_configs.update(conn, group.id, provider, now)
        users.upsert(conn, User(TERMINAL_USER, TERMINAL_CHANNEL, now))
        chat = messaging_groups.find_or_create(
            conn,
            MessagingGroup(
                new_id("mg"),
                TERMINAL_CHANNEL,
                TERMINAL_CHAT,
                now,
                name="Terminal",
                unknown_sender_policy=UnknownSenderPolicy.PUBLIC,
            ),
        )
        wirings.create(
            conn,
            Wiring(
                new_id("mga"),
                chat.id,
                group.id,
                now,
                engage_mode=EngageMode.PATTERN,
                engage_pattern=".",
            ),
        )
    return True


def ensure_owner(conn: sqlite3.Connection, now: datetime) -> bool:
    """True when the person at the terminal became the owner now, because there was none."""
    if roles.has_any_owner(conn):
        return False
    with transaction(conn):
        if roles.has_any_owner(conn):
            return False
        users.add_if_new(conn, User(TERMINAL_USER, TERMINAL_CHANNEL, now))
        granted = roles.grant(conn, RoleGrant(TERMINAL_USER, Role.OWNER, now))
        if granted:
            detail = {"role": Role.OWNER.value, "by": "first start"}
            record(conn, AuditEntry("role.granted", "host", TERMINAL_USER, detail), now)
    return granted
