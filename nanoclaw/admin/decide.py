"""Decides what a caller may ask for, and what of an answer it may see (N-44 to N-52).

Pure; called by ``dispatch`` before and after a command runs. The host's own user may do everything;
an agent is bound by its group's scope, and cannot widen it by anything it writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nanoclaw.admin.caller import AgentCaller, Caller
from nanoclaw.model import CliScope

DISABLED = "administrative commands are disabled for this agent"
SCOPE_KEY = "cli_scope"

Args = Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class About:
    """What a command says of itself (``registry.Command.about``). ``resource`` None: of none.

    ``host_only``: for no agent; ``guarded`` are its flags of that kind. ``for_groups`` False: for
    no agent that is bound to its group; so is all of a resource that is not ``open_to_groups``.
    """

    words: str
    resource: str | None = None
    open_to_groups: bool = False
    keyed_by_group: bool = False
    for_groups: bool = True
    host_only: bool = False
    guarded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Forbidden:
    reason: str


@dataclass(frozen=True, slots=True)
class InvalidArgs:
    reason: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """``args`` with what the scope fills in; ``filled`` are the names of that."""

    args: Args
    filled: frozenset[str] = frozenset()


ScopeDecision = Allowed | Forbidden


def decide_scope(caller: Caller, command: About, args: Args) -> ScopeDecision:
    """``args`` are normal (``normal_args``)."""
    if not isinstance(caller, AgentCaller):
        return Allowed(args)
    if caller.scope is CliScope.DISABLED:
        return Forbidden(DISABLED)
    if command.host_only:
        return Forbidden(f"{command.words} is for the host's own user, not for agents")
    for name in sorted(command.guarded & args.keys()):
        return Forbidden(f"--{name.replace('_', '-')} is for the host's own user, not for agents")
    if caller.scope is CliScope.GLOBAL:
        return Allowed(args)
    return _decide_group(caller, command, args)


def normal_args(args: Args) -> Args | InvalidArgs:
    """One spelling of each key, before anything looks at them (N-44)."""
    normal: dict[str, str | bool] = {}
    for key, value in args.items():
        name = key.replace("-", "_")
        if normal.setdefault(name, value) != value:
            return InvalidArgs(f"--{name.replace('_', '-')} is given twice with different values")
    return normal


def may_run(caller: Caller, command: About) -> bool:
    """Whether the command is one for this caller at all, whatever its arguments."""
    if not isinstance(caller, AgentCaller):
        return True
    if caller.scope is CliScope.DISABLED or command.host_only:
        return False
    return caller.scope is CliScope.GLOBAL or _is_for_groups(command)


def _is_for_groups(command: About) -> bool:
    return command.for_groups and (command.resource is None or command.open_to_groups)


def _decide_group(caller: AgentCaller, command: About, args: Args) -> ScopeDecision:
    own = caller.agent_group_id
    if not _is_for_groups(command):
        inside = command.resource is None or command.open_to_groups
        what = command.words if inside else command.resource
        return Forbidden(f"{what} is beyond this agent's scope, which is its own group")
    group_keys = ("agent_group_id", "group")
    keys = (*group_keys, "id") if command.keyed_by_group else group_keys
    for key in keys:
        if args.get(key, own) != own:
            return Forbidden(f"this agent is scoped to its own group; --{key} names another one")
    if _touches_scope(args):
        return Forbidden(f"an agent cannot change {SCOPE_KEY}")
    if command.resource is None:
        return Allowed(args)
    missing = [key for key in keys if key not in args]
    return Allowed({**args, **dict.fromkeys(missing, own)}, frozenset(missing))


def _touches_scope(args: Args) -> bool:
    """In any form: as a flag, or named by one that empties others."""
    if any(_is_scope_key(key) for key in args):
        return True
    emptied = args.get("null", "")
    return isinstance(emptied, str) and any(_is_scope_key(name) for name in emptied.split(","))


def _is_scope_key(key: str) -> bool:
    name = key.casefold().replace("-", "_").strip(" _")
    return name.removeprefix("no_") == SCOPE_KEY


def visible(caller: Caller, data: object, scope_field: str | None) -> object:
    """What an agent may see of the answer of a plain ``list`` or ``get`` (N-49)."""
    if not isinstance(caller, AgentCaller) or caller.scope is CliScope.GLOBAL:
        return data
    if scope_field is None:
        return Forbidden("not available in group scope")
    own = caller.agent_group_id
    if isinstance(data, list | tuple):
        return [row for row in data if isinstance(row, Mapping) and row.get(scope_field) == own]
    if isinstance(data, Mapping) and data.get(scope_field) == own:
        return data
    return Forbidden("it belongs to a different agent group")
