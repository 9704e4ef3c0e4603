"""Agents that agents ask for: handlers of ``action:create_agent`` and of the approved request.

Within the group's quota an agent is made at once, beyond it a person decides, and always when the
turn has read foreign content (W-7, H-247). Three steps, each repeatable: the group's rows, its
folder with the instructions, then the destinations both ways; before the last nobody can write to
it.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from contract.actions import CreateAgent
from contract.content import parse_outbound
from contract.errors import BadContent
from contract.inbound.row import MessageKind
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.agents import words
from nanoclaw.agents.asking import Asked, ask_people
from nanoclaw.agents.tell import session_of, tell
from nanoclaw.approvals import cards
from nanoclaw.audit import AuditEntry
from nanoclaw.audit import record as audit
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.containers.group_folder import ensure_group_folder
from nanoclaw.db import agent_groups, agent_traffic, container_configs, destinations
from nanoclaw.db.agent_traffic import CreatedAgent
from nanoclaw.db.connection import transaction
from nanoclaw.db.destinations import NewDestination
from nanoclaw.db.effects import Effect
from nanoclaw.db.names import normalize_name
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.effects.request import parse_request
from nanoclaw.model import AgentGroup, Session, TargetType
from nanoclaw.paths import HostPaths
from nanoclaw.policy.taint import Act, describe, needs_approval
from nanoclaw.sessions.destinations import refresh, request_refresh
from nanoclaw.sessions.new_group import (
    MAX_NAME,
    create_agent_group,
    folder_name,
    folders_on_disk,
)

ACTION = "create_agent"
PARENT = "parent"
MAX_INSTRUCTIONS_BYTES = 64 * 1024


def ask(context: EffectContext, effect: Effect) -> HandlerResult:
    """``action:create_agent``: makes the agent, or asks somebody whether it may be made."""
    session = session_of(context, effect)
    if session is None:
        return Failed("the session that asked is gone")
    request = parse_request(effect.payload)
    try:
        wanted = _wanted(request.content)
    except BadContent as error:
        text = words.not_usable("Your request for an agent", str(error))
        tell(context, effect, session, text)
        return Failed(text)
    conn = context.conn
    group = agent_groups.get(conn, session.agent_group_id)
    if group is None:
        return Failed("its own agent group is gone")
    if agent_traffic.find_created(conn, effect.effect_id) is None:
        local_name = normalize_name(wanted.name)
        if destinations.get(conn, group.id, local_name) is not None:
            tell(context, effect, session, words.name_taken(local_name))
            return Failed("the name is taken")
        if not _within_quota(conn, group, request.taint):
            _request(context, effect, session, _Wish(group, wanted, request.taint))
            return Done("a person is asked")
    return _make(context, effect, session, wanted)


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """``create_agent``: somebody has allowed it; the payload is what was shown."""
    session = session_of(context, effect)
    if session is None:
        return Failed("the session that asked is gone")
    return _make(context, effect, session, _wanted(effect.payload))


def _wanted(text: str) -> CreateAgent:
    """Raises BadContent in words for the agent."""
    action = parse_outbound(MessageKind.SYSTEM, text)
    if not isinstance(action, CreateAgent):
        raise BadContent("it is no request for an agent")
    if not action.name.strip() or not action.name.strip()[:MAX_NAME].isprintable():
        raise BadContent("an agent needs a name in visible characters")
    if len(action.name.strip()) > MAX_NAME:
        raise BadContent(f"the name has more than {MAX_NAME} characters")
    if len((action.instructions or "").encode()) > MAX_INSTRUCTIONS_BYTES:
        raise BadContent(f"the instructions are over {MAX_INSTRUCTIONS_BYTES} bytes")
    return replace(action, extra={})


def _within_quota(conn: sqlite3.Connection, group: AgentGroup, taint: str | None) -> bool:
    config = container_configs.get(conn, group.id)
    if config is None or needs_approval(Act.CREATE_AGENT, taint, guarded=config.taint_guard):
        return False
    return agent_traffic.count_created_by(conn, group.id) < config.agents_quota


# --- asking ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the card shows."""

    group: AgentGroup
    wanted: CreateAgent
    taint: str | None

    def lines(self, folder: str) -> Iterable[str]:
        yield f"{cards.shown(self.group.name)} wants to create an agent that it can talk to."
        yield f"name: {cards.code(self.wanted.name.strip())}"
        yield f"folder: {cards.code(folder)}"
        yield from read_before(self.taint)
        yield from cards.block("instructions", self.wanted.instructions or "")


def read_before(taint: str | None) -> list[str]:
    """Whether the agent may be acting on the orders of somebody else."""
    found = describe(taint)
    if not found:
        return []
    return [f"In this turn it has read foreign content: {cards.shown(found)}."]


def _request(context: EffectContext, effect: Effect, session: Session, wish: _Wish) -> None:
    folder = folder_name(wish.wanted.name, _folders(context.conn, context.paths))
    card = cards.body(wish.lines(folder))
    ask_people(
        context, effect, session, Asked(ACTION, dump(wish.wanted.plain()), "Create an agent?", card)
    )
    reached("host.agent_requested")
    ring(context.paths, DELIVERY)


def _folders(conn: sqlite3.Connection, paths: HostPaths) -> frozenset[str]:
    taken = {group.folder.lower() for group in agent_groups.list_all(conn)}
    return frozenset(taken | {name.lower() for name in folders_on_disk(paths)})


# --- making ---------------------------------------------------------------------------------------


def _make(
    context: EffectContext, effect: Effect, session: Session, wanted: CreateAgent
) -> HandlerResult:
    conn, own_id = context.conn, session.agent_group_id
    created = agent_traffic.find_created(conn, effect.effect_id)
    if created is None:
        on_disk = folders_on_disk(context.paths)
        with transaction(conn):
            local_name = normalize_name(wanted.name)
            if destinations.get(conn, own_id, local_name) is None:
                made = create_agent_group(conn, wanted.name, context.now, on_disk)
                created = _record(context, effect, session, made)
        if created is None:
            tell(context, effect, session, words.name_taken(local_name))
            return Failed("the name is taken")
    reached("host.agent_created")
    child = agent_groups.get(conn, created.agent_group_id)
    if child is None:
        return Failed("it was deleted while it was being made")
    ensure_group_folder(context.paths, child.folder, wanted.instructions)
    reached("host.agent_folder_made")
    with transaction(conn):
        name = _connect(context, own_id, child, created)
        request_refresh(conn, (own_id, child.id), effect.effect_id, context.now)
    reached("host.agent_connected")
    refresh(conn, context.paths, own_id)  # the note must not come before the name is known
    tell(context, effect, session, words.agent_created(child.name, name))
    return Done(f"{child.id} as {name}")


def _record(
    context: EffectContext, effect: Effect, session: Session, child: AgentGroup
) -> CreatedAgent:
    """Who made it and why, in the transaction that makes it."""
    conn, now = context.conn, context.now
    created = CreatedAgent(
        agent_group_id=child.id,
        effect_id=effect.effect_id,
        created_by=session.agent_group_id,
        local_name=normalize_name(child.name),
        created_at=now,
    )
    agent_traffic.record_created(conn, created)
    entry = AuditEntry(
        kind="agent.created",
        actor=effect.requested_by,
        subject=child.id,
        detail={
            "name": child.name,
            "folder": child.folder,
            "approval": effect.approval_id,
            "effect": effect.effect_id,
        },
        agent_group_id=session.agent_group_id,
        session_id=session.id,
    )
    audit(conn, entry, now)
    return created


def _connect(context: EffectContext, own_id: str, child: AgentGroup, created: CreatedAgent) -> str:
    """Destinations both ways, once; the creator's name for the child."""
    conn, now = context.conn, context.now
    if not destinations.has_agent(conn, child.id, own_id):
        destinations.create_with_free_name(
            conn, NewDestination(child.id, PARENT, TargetType.AGENT, own_id, now)
        )
    for row in destinations.of_agent_group(conn, own_id):
        if row.target_type is TargetType.AGENT and row.target_id == child.id:
            return row.local_name
    return destinations.create_with_free_name(
        conn, NewDestination(own_id, created.local_name, TargetType.AGENT, child.id, now)
    )
