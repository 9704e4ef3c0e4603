"""Makes an agent for one person: owner and chat, or the terminal; and takes a terminal's one away.

Called by ``nanoclaw init-first-agent`` and by the set-up's steps, with a host running or without
one. All rows are one transaction, after everything that can be checked was checked (S-236): a run
that fails leaves nothing, a second run changes nothing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from contract.clock import utc_now
from contract.config import DEFAULT_PROVIDER
from contract.ids import new_id
from nanoclaw.channels.cli.lines import Place
from nanoclaw.config import HostConfig
from nanoclaw.containers.group_folder import MEMORY_FILE, template
from nanoclaw.db import (
    agent_groups,
    container_configs,
    destinations,
    members,
    messaging_groups,
    removal,
    roles,
    users,
    wirings,
)
from nanoclaw.db.agent_groups import AgentGroupChange
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.members import Member
from nanoclaw.errors import ConfigError
from nanoclaw.first_agent import (
    OFFLINE_PROVIDER,
    TERMINAL_CHANNEL,
    TERMINAL_CHAT,
    TERMINAL_USER,
    ensure_owner,
)
from nanoclaw.model import (
    AgentGroup,
    CliScope,
    EngageMode,
    MessagingGroup,
    Role,
    RoleGrant,
    TargetType,
    UnknownSenderPolicy,
    User,
    Wiring,
)
from nanoclaw.permissions.identity import user_id_of
from setup import agent_rows, templates
from setup.agent_rows import Work
from setup.central import changing, need_host, opened
from setup.names import folder_of
from setup.welcome import WELCOME, say

ROLES = ("owner", "admin", "member")
EVERYTHING = "."
"""The pattern that every message matches."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who the agent is for, and where they write. ``platform_id`` is of a direct chat."""

    channel: str
    user_id: str
    platform_id: str
    display_name: str
    role: str = "owner"


@dataclass(frozen=True, slots=True)
class AgentWish:
    """``folder`` None: made from the person's name. ``welcome`` None: the usual one, once."""

    name: str = ""
    folder: str | None = None
    template: str = templates.DEFAULT_TEMPLATE
    welcome: str | None = None
    no_welcome: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """``created``: something is new. ``welcome``: the host's word; empty: none was sent."""

    user_id: str
    role: str
    group: AgentGroup
    chat: MessagingGroup
    created: bool
    welcome: str = ""


# --- on a platform --------------------------------------------------------------------------------


def init_first_agent(config: HostConfig, person: Person, wish: AgentWish) -> Made:
    """S-230 to S-236. Raises NanoclawError; then nothing was changed, but for a lost welcome."""
    if person.role not in ROLES:
        raise ConfigError(f"the role {person.role!r} is none of: {', '.join(ROLES)}")
    channel = person.channel.strip().lower()
    if not channel or not person.user_id.strip() or not person.platform_id.strip():
        raise ConfigError("channel, user id and chat must not be empty")
    agent_rows.checked_agent_name(wish.name or person.display_name)
    welcomes = not (wish.no_welcome or wish.dry_run)
    if welcomes:
        need_host(config)
    with opened(config, dry_run=wish.dry_run) as conn, changing(conn, dry_run=wish.dry_run):
        made = _make(Work(conn, config, utc_now(), wish.dry_run), channel, person, wish)
    if not welcomes or not (made.created or wish.welcome):
        return made
    place = Place(channel, made.chat.platform_id)
    text = wish.welcome or WELCOME
    ack = say(config.paths.socket("cli"), text, place, made.user_id, person.display_name)
    outcome = f"{ack.outcome}: {ack.reason}" if ack.reason else ack.outcome
    return Made(made.user_id, made.role, made.group, made.chat, made.created, outcome)


def _make(work: Work, channel: str, person: Person, wish: AgentWish) -> Made:
    conn, now = work.conn, work.now
    user_id = user_id_of(channel, person.user_id.strip())
    users.upsert(conn, User(user_id, channel, now, person.display_name))
    folder = _own_folder(work, user_id, person.display_name, wish)
    name = wish.name or person.display_name
    text = templates.get(wish.template).render(name, person.display_name)
    group, created = agent_rows.agent(work, name, folder, text)
    created |= _grant(work, user_id, person.role, group)
    created |= members.add(conn, Member(user_id, group.id, now))
    chat, new_chat = agent_rows.chat(
        work,
        MessagingGroup(
            new_id("mg"), channel, agent_rows.chat_id(channel, person.platform_id.strip()), now,
            name=person.display_name, unknown_sender_policy=UnknownSenderPolicy.STRICT,
        ),
    )  # fmt: skip
    wiring = Wiring(new_id("mga"), chat.id, group.id, now)
    if not chat.is_group:
        wiring = Wiring(
            new_id("mga"), chat.id, group.id, now,
            engage_mode=EngageMode.PATTERN, engage_pattern=EVERYTHING,
        )  # fmt: skip
    created |= agent_rows.wire(work, wiring)
    return Made(user_id, person.role, group, chat, created or new_chat)


def _own_folder(work: Work, user_id: str, display_name: str, wish: AgentWish) -> str:
    """Never the agent of somebody else who has the same name (S-236)."""
    if wish.folder is not None:
        return agent_rows.checked_folder(wish.folder)
    folder = folder_of(display_name, "dm-with-")
    other = agent_groups.get_by_folder(work.conn, folder)
    if other is not None and not members.has_row(work.conn, user_id, other.id):
        raise ConfigError(
            f"the folder {folder} belongs to the agent {other.name!r} of somebody else, or of the "
            f"same person elsewhere; add --folder {folder} to share that agent, or --folder with "
            "another name for a new one"
        )
    return folder


def _grant(work: Work, user_id: str, role: str, group: AgentGroup) -> bool:
    """True when the role is new."""
    if role == "member":
        return False
    is_owner = role == "owner"
    place = None if is_owner else group.id
    grant = RoleGrant(user_id, Role.OWNER if is_owner else Role.ADMIN, work.now, place)
    granted = roles.grant(work.conn, grant)
    if granted:
        work.audit("role.granted", user_id, place, role=grant.role.value, by="setup")
    if is_owner:
        change = ContainerConfigChange(cli_scope=CliScope.GLOBAL)
        container_configs.update(work.conn, group.id, change, work.now)
    return granted


# --- at the terminal ------------------------------------------------------------------------------


def init_cli_agent(
    config: HostConfig, display_name: str, wish: AgentWish, *, additional: bool = False
) -> Made:
    """S-250: an agent for the person at the terminal, who gets no role by it."""
    name = agent_rows.checked_agent_name(wish.name or display_name)
    folder = agent_rows.checked_folder(wish.folder or folder_of(display_name, "cli-with-"))
    text = templates.get(wish.template).render(name, display_name)
    with opened(config, dry_run=wish.dry_run) as conn, changing(conn, dry_run=wish.dry_run):
        work = Work(conn, config, utc_now(), wish.dry_run)
        users.upsert(conn, User(TERMINAL_USER, TERMINAL_CHANNEL, work.now, display_name))
        chat, new_chat = agent_rows.chat(
            work,
            MessagingGroup(
                new_id("mg"), TERMINAL_CHANNEL, TERMINAL_CHAT, work.now, name="Local CLI",
                unknown_sender_policy=UnknownSenderPolicy.PUBLIC,
            ),
        )  # fmt: skip
        _refuse_second(work, chat, folder, additional=additional)
        group, created = agent_rows.agent(work, name, folder, text)
        wiring = Wiring(
            new_id("mga"), chat.id, group.id, work.now,
            engage_mode=EngageMode.PATTERN, engage_pattern=EVERYTHING,
        )  # fmt: skip
        created |= agent_rows.wire(work, wiring)
    return Made(TERMINAL_USER, "none", group, chat, created or new_chat)


def _refuse_second(work: Work, chat: MessagingGroup, folder: str, *, additional: bool) -> None:
    """All agents that listen at the terminal would answer (S-251)."""
    for wiring in wirings.of_chat(work.conn, chat.id):
        other = agent_groups.get(work.conn, wiring.agent_group_id)
        if other is not None and other.folder != folder and not additional:
            raise ConfigError(
                f"the terminal is connected to {other.name!r} (folder {other.folder}) already, and "
                "two agents would both answer; delete that one first or ask for an additional one"
            )


def terminal_agent(config: HostConfig) -> AgentGroup | None:
    """The agent that answers at the terminal, if there is one. Changes nothing."""
    if not config.paths.central_db.exists():
        return None
    with opened(config, dry_run=True) as conn:
        chat = messaging_groups.get_by_address(conn, TERMINAL_CHANNEL, TERMINAL_CHAT)
        for wiring in chat.wirings if chat is not None else ():
            return agent_groups.get(conn, wiring.agent_group_id)
    return None


def delete_cli_agent(config: HostConfig, folder: str) -> bool:
    """S-252: the agent with all that belongs to it; False: there is none. Raises NanoclawError."""
    agent_rows.checked_folder(folder)
    with opened(config) as conn, changing(conn, dry_run=False):
        group = agent_groups.get_by_folder(conn, folder)
        if group is None:
            return False
        sessions = removal.sessions_with(conn, removal.AGENT_GROUP, group.id)
        if any(session.is_up for session in sessions):
            raise ConfigError(
                f"{group.name!r} is working in a container; stop it first with "
                f"`ncl containers stop`, see `ncl containers list`"
            )
        destinations.delete_pointing_at(conn, TargetType.AGENT, group.id)
        removal.delete_with(conn, removal.AGENT_GROUP, group.id)
        agent_groups.delete(conn, group.id)
        Work(conn, config, utc_now()).audit("agent.deleted", group.id, None, folder=folder)
    _remove(config.paths.groups / folder)
    _remove(config.paths.sessions / group.id)
    return True


def _remove(folder: Path) -> None:
    """A link is removed, never what it leads to."""
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise ConfigError(
            f"the agent is deleted, but {folder} could not be removed: {error.strerror or error}; "
            f"remove it by hand"
        ) from error


# --- what the set-up does with the terminal's agent -----------------------------------------------


def is_plain(config: HostConfig, group: AgentGroup) -> bool:
    """Nobody has told the agent anything yet: it has the empty memory of its first start."""
    file = config.paths.groups / group.folder / MEMORY_FILE
    try:
        return not file.is_symlink() and file.read_text(encoding="utf-8") == template(MEMORY_FILE)
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False


def dress(config: HostConfig, group: AgentGroup, owner: str, wish: AgentWish) -> None:
    """Gives a plain agent a name and a personality. Raises NanoclawError."""
    name = agent_rows.checked_agent_name(wish.name)
    text = templates.get(wish.template).render(name, owner)
    with opened(config) as conn, changing(conn, dry_run=False):
        work = Work(conn, config, utc_now())
        users.upsert(conn, User(TERMINAL_USER, TERMINAL_CHANNEL, work.now, owner))
        agent_groups.update(conn, group.id, AgentGroupChange(name=name))
        work.audit("agent.renamed", group.id, group.id, name=name)
        if is_plain(config, group):
            (config.paths.groups / group.folder / MEMORY_FILE).unlink(missing_ok=True)
        agent_rows.agent(work, name, group.folder, text)


def has_owner(config: HostConfig, *, make: bool = False) -> bool:
    """Whether anybody owns this installation; ``make``: the person at the terminal, if nobody."""
    if not make and not config.paths.central_db.exists():
        return False
    with opened(config, dry_run=not make) as conn:
        if make:
            ensure_owner(conn, utc_now())
        return roles.has_any_owner(conn)


def leave_scripted(config: HostConfig) -> bool:
    """The terminal's agent thinks from now on, if it was only scripted for want of a key."""
    group = terminal_agent(config)
    if group is None or config.provider:
        return False
    with opened(config) as conn, changing(conn, dry_run=False):
        found = container_configs.get(conn, group.id)
        if found is None or found.provider != OFFLINE_PROVIDER or found.script:
            return False
        change = ContainerConfigChange(provider=DEFAULT_PROVIDER)
        container_configs.update(conn, group.id, change, utc_now())
    return True
