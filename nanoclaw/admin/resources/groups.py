"""``groups``: the agents of this installation, from their making to their end (spec ncl 11.1).

A group that is made here can start: rows, folder and home are there afterwards (N-65). One that is
deleted leaves its folders in the trash (N-66). Its container configuration is ``groups_config``.
"""

from contract.ids import new_id
from nanoclaw.admin import folder_steps
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import Awaited, once_done
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import (
    Access,
    ArgumentSpec,
    ColumnSpec,
    Kind,
    Operation,
    ResourceSpec,
)
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.admin.resources.groups_config import CONFIG_OPERATIONS
from nanoclaw.admin.restart import Wanted, rebuild, restart
from nanoclaw.approvals import requests
from nanoclaw.bell import DELIVERY
from nanoclaw.containers.group_folder import is_valid_folder
from nanoclaw.db import agent_groups, approvals, container_configs, destinations, removal
from nanoclaw.db.agent_groups import AgentGroupChange
from nanoclaw.model import AgentGroup, TargetType
from nanoclaw.sessions.destinations import request_refresh

MAX_NAME = 80
REBUILD_SECONDS = 1200

COLUMNS = (
    ColumnSpec("id", "made by us", generated=True),
    ColumnSpec("name", "display name; need not be unique", required=True, updatable=True),
    ColumnSpec("folder", "its directory under groups/; never changes", required=True),
    ColumnSpec("created_at", "when it was made", generated=True),
)
TABLE = Table("group", "agent_groups", "id", COLUMNS, scope_field="id")
OWN_GROUP = ArgumentSpec("id", "which one; an agent's own if left out", positional=True)


def _create(context: CommandContext, arguments: Arguments) -> object:
    conn, paths = context.conn, context.paths
    name, folder = _name(arguments), arguments.text("folder")
    if not is_valid_folder(folder):
        raise InvalidArgsError(
            f"--folder {folder!r} is not allowed: 1 to 64 letters, digits, '-' or '_', beginning "
            "with a letter or digit, and not 'global'"
        )
    taken = {group.folder.lower() for group in agent_groups.list_all(conn)}
    if folder.lower() in taken:
        raise CommandError(f"already exists: another group has the folder {folder!r}")
    place = paths.groups / folder
    if (place.exists() or place.is_symlink()) and not arguments.flag("use_existing"):
        raise CommandError(
            f"{place} is there already, perhaps with the memory of another agent; choose another "
            "--folder, or add --use-existing to go on with it"
        )
    group = AgentGroup(new_id("ag"), name, folder, context.now)
    agent_groups.create(conn, group)
    container_configs.ensure(conn, group.id, context.now)
    made = folder_steps.make_later(context, group, arguments.optional("instructions"))
    answer = {**find_row(context, TABLE, group.id), "folder_path": str(place)}
    return once_done(context, Awaited(made, answer))


def _update(context: CommandContext, arguments: Arguments) -> object:
    group_id = arguments.text("id")
    checks.group(context.conn, group_id)
    if "name" not in arguments:
        raise InvalidArgsError("nothing to update; give --name")
    agent_groups.update(context.conn, group_id, AgentGroupChange(name=_name(arguments)))
    return find_row(context, TABLE, group_id)


def _name(arguments: Arguments) -> str:
    name = arguments.text("name").strip()
    if not name or not name.isprintable() or len(name) > MAX_NAME:
        raise InvalidArgsError(f"--name must be 1 to {MAX_NAME} visible characters")
    return name


# --- the end of one -------------------------------------------------------------------------------


def _delete(context: CommandContext, arguments: Arguments) -> object:
    conn, paths = context.conn, context.paths
    group = checks.group(conn, arguments.text("id"))
    sessions = removal.sessions_with(conn, removal.AGENT_GROUP, group.id)
    running = sum(session.is_up for session in sessions)
    if running:
        raise CommandError(
            f"{running} of its sessions have a running container; stop them first, see `ncl "
            "containers list` and `ncl containers stop`"
        )
    counts = removal.dependants(conn, removal.AGENT_GROUP, group.id)
    pointing = len(destinations.pointing_at(conn, TargetType.AGENT, group.id))
    if pointing:
        counts["agent_destinations of others"] = pointing
    checks.nothing_refers(counts, "group", arguments)
    _delete_rows(context, group)
    folders = [paths.groups / group.folder, paths.sessions / group.id]
    purges = arguments.flag("purge")
    removed = folder_steps.remove_later(context, group.folder, folders, purges=purges)
    return once_done(context, Awaited(removed, {"deleted": group.id, "rows": counts}))


def _delete_rows(context: CommandContext, group: AgentGroup) -> None:
    conn = context.conn
    for approval in approvals.pending(conn):
        if approval.agent_group_id == group.id:
            requests.cancel(conn, approval.approval_id, context.actor, context.now)
    bereft = destinations.delete_pointing_at(conn, TargetType.AGENT, group.id) - {group.id}
    removal.delete_with(conn, removal.AGENT_GROUP, group.id)
    agent_groups.delete(conn, group.id)
    request_refresh(conn, bereft, context.cause, context.now)
    context.ring(DELIVERY)


# --- restart --------------------------------------------------------------------------------------


def _restart(context: CommandContext, arguments: Arguments) -> object:
    group = checks.group(context.conn, checks.own_group_or(context, arguments.optional("id")))
    agent = context.agent
    only_own = agent is not None and agent.agent_group_id == group.id and not arguments.flag("all")
    wanted = Wanted(
        agent_group_id=group.id,
        session_id=agent.session_id if agent is not None and only_own else None,
        message=arguments.optional("message"),
    )
    return rebuild(context, wanted) if arguments.flag("rebuild") else restart(context, wanted)


OPERATIONS = (
    list_operation(TABLE),
    get_operation(TABLE),
    Operation(
        "create", Access.APPROVAL, "make a new agent", _create,
        (
            ArgumentSpec("name", "display name", required=True, positional=True),
            ArgumentSpec("folder", "directory under groups/", required=True),
            ArgumentSpec("instructions", "begins its CLAUDE.local.md"),
            ArgumentSpec("use_existing", "take a folder that is there already", Kind.FLAG,
                         host_only=True),
        ),
        mutating=True, for_groups=False,
        examples=("ncl groups create --name Gardener --folder gardener",),
    ),
    Operation(
        "update", Access.APPROVAL, "rename it", _update,
        (target_argument("group"), ArgumentSpec("name", "display name")), mutating=True,
    ),
    Operation(
        "delete", Access.APPROVAL, "delete it; its folders go to data/trash", _delete,
        (
            target_argument("group"),
            ArgumentSpec("cascade", "delete everything that refers to it", Kind.FLAG),
            ArgumentSpec("purge", "remove its folders instead of keeping them", Kind.FLAG),
        ),
        mutating=True, for_groups=False,
    ),
    Operation(
        "restart", Access.APPROVAL, "stop its containers, so that they begin anew", _restart,
        (
            OWN_GROUP,
            ArgumentSpec("rebuild", "build its image first, with its packages", Kind.FLAG),
            ArgumentSpec("message", "said to each restarted agent, which comes back at once"),
            ArgumentSpec("all", "an agent: not only its own session", Kind.FLAG),
        ),
        mutating=True, seconds=REBUILD_SECONDS,
        examples=("ncl groups restart ag-1 --message 'Look at your new tools'",),
    ),
    *CONFIG_OPERATIONS,
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="group",
    plural="groups",
    id_column="id",
    description="agents with their workspace, memory and container settings",
    columns=COLUMNS,
    operations=OPERATIONS,
    scope_field="id",
    for_groups=True,
    keyed_by_group=True,
)
