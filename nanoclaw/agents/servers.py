"""Tool servers that agents ask for: handlers of ``action:add_mcp_server`` and of the approved one.

A server is a program that runs with the agent's rights at every start, so a person sees the whole
command line, the names of its environment and what it replaces (W-6, H-259). Approved, it is stored
and the group's containers start anew.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from contract.actions import AddMcpServer
from contract.config import RESERVED_SERVER, McpServer
from contract.content import parse_outbound
from contract.errors import BadContent
from contract.inbound.row import MessageKind
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.agents import words
from nanoclaw.agents.asking import Asked, ask_people
from nanoclaw.agents.create import read_before
from nanoclaw.agents.restarts import begin_restart
from nanoclaw.agents.tell import session_of, tell
from nanoclaw.approvals import cards
from nanoclaw.audit import AuditEntry
from nanoclaw.audit import record as audit
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.effects.request import parse_request
from nanoclaw.model import AgentGroup, Session
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.restart import Restart

ACTION = "add_mcp_server"
MAX_SERVERS = 50
MAX_ARGUMENTS = 50
MAX_VARIABLES = 50
MAX_TEXT = 1000
"""Characters of one argument or value: as much as a card shows of it, so that nothing is hidden."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


def ask(context: EffectContext, effect: Effect) -> HandlerResult:
    """``action:add_mcp_server``: asks a person."""
    session = session_of(context, effect)
    if session is None:
        return Failed("the session that asked is gone")
    request = parse_request(effect.payload)
    group = agent_groups.get(context.conn, session.agent_group_id)
    if group is None:
        return Failed("its agent group is gone")
    try:
        wanted = _wanted(request.content)
        card = _card(context, group, wanted, request.taint)
    except BadContent as error:
        text = words.not_usable("Your request for a tool server", str(error))
        tell(context, effect, session, text)
        return Failed(text)
    _request(context, effect, session, card, wanted)
    return Done("a person is asked")


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """``add_mcp_server``: somebody has allowed it; the payload is what was shown."""
    wanted = _wanted(effect.payload)
    agent_group_id = effect.agent_group_id or ""
    conn = context.conn
    with transaction(conn):
        if agent_groups.get(conn, agent_group_id) is None:
            return Failed("its agent group is gone")
        container_configs.ensure(conn, agent_group_id, context.now)
        config = container_configs.get(conn, agent_group_id)
        assert config is not None, "it was ensured in this transaction"
        server = _server(wanted)
        changed_at = config.updated_at
        if config.mcp_servers.get(wanted.name) != server:
            servers = {**config.mcp_servers, wanted.name: server}
            change = ContainerConfigChange(mcp_servers=servers)
            container_configs.update(conn, agent_group_id, change, context.now)
            _audit(context, effect, wanted)
            changed_at = context.now
    reached("host.server_stored")
    restart = Restart(
        agent_group_id=agent_group_id,
        cause=effect.effect_id,
        reason=f"tool server {wanted.name} was added",
        asked_at=effect.created_at,
        changed_at=changed_at,
        message=words.server_added(wanted.name),
        only_for=effect.session_id or "",
    )
    return begin_restart(context, effect.effect_id, restart, Done(wanted.name))


def _wanted(text: str) -> AddMcpServer:
    """Raises BadContent in words for the agent."""
    action = parse_outbound(MessageKind.SYSTEM, text)
    if not isinstance(action, AddMcpServer):
        raise BadContent("it is no request for a tool server")
    if not _NAME.fullmatch(action.name) or action.name.lower() == RESERVED_SERVER:
        raise BadContent(
            "a tool server's name has 1 to 48 letters, digits, '_' or '-', and is not "
            f"{RESERVED_SERVER!r}"
        )
    if not action.command.strip():
        raise BadContent("it names no command")
    if len(action.args) > MAX_ARGUMENTS or len(action.env) > MAX_VARIABLES:
        raise BadContent(
            f"more than {MAX_ARGUMENTS} arguments or {MAX_VARIABLES} variables are not allowed"
        )
    for text_of in (action.command, *action.args, *action.env.values()):
        if len(cards.shown(text_of, MAX_TEXT * 10)) > MAX_TEXT or "\0" in text_of:
            raise BadContent(
                f"command, arguments and values must be texts of at most {MAX_TEXT} characters; "
                "put longer ones into a file of your folder"
            )
    for name in action.env:
        if not _VARIABLE.fullmatch(name):
            raise BadContent(f"{name[:100]!r} is no name of an environment variable")
    return replace(action, extra={})


def _server(wanted: AddMcpServer) -> McpServer:
    return McpServer(command=wanted.command, args=wanted.args, env=wanted.env)


def _card(
    context: EffectContext, group: AgentGroup, wanted: AddMcpServer, taint: str | None
) -> str:
    config = container_configs.get(context.conn, group.id)
    servers = config.mcp_servers if config is not None else {}
    lines = [
        f"{cards.shown(group.name)} wants this tool server to be started with its container:",
        f"name: {cards.code(wanted.name)}",
        *_shown(_server(wanted)),
        *read_before(taint),
    ]
    if wanted.name in servers:
        lines += ["It replaces the server of that name:", *_shown(servers[wanted.name])]
    others = sorted(name for name in servers if name != wanted.name)
    lines += cards.listing("Other servers, which stay", others)
    if len(servers) >= MAX_SERVERS and wanted.name not in servers:
        raise BadContent(f"there are {MAX_SERVERS} tool servers already")
    card = cards.body(lines)
    if card != "\n".join(lines):
        raise BadContent("its command line is too long to be shown; put it into a script")
    return card


def _shown(server: McpServer) -> Iterator[str]:
    if server.command:
        yield from cards.command_line(server.command, server.args)
    if server.url:
        yield f"address: {cards.code(cards.without_secrets(server.url))}"
    variables = cards.environment({**server.env, **server.headers})
    yield "environment:" if variables else "environment: nothing"
    for line in variables:
        yield f"  {line}"


def _request(
    context: EffectContext, effect: Effect, session: Session, card: str, wanted: AddMcpServer
) -> None:
    ask_people(
        context, effect, session, Asked(ACTION, dump(wanted.plain()), "Add a tool server?", card)
    )
    reached("host.server_requested")
    ring(context.paths, DELIVERY)


def _audit(context: EffectContext, effect: Effect, wanted: AddMcpServer) -> None:
    """Without values: they may be secrets. The hash ties the row to what was approved."""
    entry = AuditEntry(
        kind="agent.server_added",
        actor=effect.requested_by,
        subject=wanted.name,
        detail={
            "command": cards.shown(wanted.command),
            "arguments": cards.masked_arguments(wanted.args),
            "environment": sorted(wanted.env),
            "approval": effect.approval_id,
            "payload": payload_hash(effect.payload),
        },
        agent_group_id=effect.agent_group_id,
        session_id=effect.session_id,
    )
    audit(context.conn, entry, context.now)
