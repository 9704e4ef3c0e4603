"""Help at every level, as text for people and as data for completion and manual (N-100 to N-102).

Pure over the registry. ``with_help`` adds the commands ``help``, ``<resource> help`` and
``describe``; ``--help`` behind any command says the same as they do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nanoclaw.admin import lookup
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.caller import AgentCaller, Caller
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.decide import may_run
from nanoclaw.admin.frames import Request
from nanoclaw.admin.problems import CommandError, NotFoundError
from nanoclaw.admin.registry import (
    Access,
    ArgumentSpec,
    ColumnSpec,
    Command,
    Kind,
    Operation,
    Registry,
    ResourceSpec,
)
from nanoclaw.model import CliScope

NAME_WIDTH = 20
FLAG_WIDTH = 28
TYPED_WIDTH = 36
"""A flag with the kind of its value behind it."""
STANDARD = ("list", "get", "create", "update", "delete")
HELP = "help"
TOPIC = ArgumentSpec("topic", "a resource, or a general command", positional=True)


def with_help(resources: Sequence[ResourceSpec], general: Sequence[Operation]) -> Registry:
    """The whole registry; its help describes itself."""

    def show(context: CommandContext, arguments: Arguments) -> object:
        topic = arguments.optional(TOPIC.name)
        return (
            _topic(registry, topic, context.caller) if topic else overview(registry, context.caller)
        )

    def data(context: CommandContext, arguments: Arguments) -> object:
        return described(registry, context.caller, arguments.optional(TOPIC.name))

    helps = (
        Operation(HELP, Access.OPEN, "show what there is", show, (TOPIC,)),
        Operation("describe", Access.OPEN, "the same as data, for programs", data, (TOPIC,)),
    )
    with_own = [
        replace(item, operations=(*item.operations, *_own_help(item))) for item in resources
    ]
    registry = Registry(tuple(with_own), (*general, *helps))
    return registry


def _own_help(resource: ResourceSpec) -> Iterator[Operation]:
    """``groups help``, and ``groups config help`` where verbs have a word in common (N-71)."""

    def show(prefix: str) -> Operation:
        def run(context: CommandContext, arguments: Arguments) -> object:
            return resource_help(resource, context.caller, prefix)

        verb = f"{prefix} {HELP}".strip()
        return Operation(verb, Access.OPEN, "show verbs and fields", run)

    first = [item.verb.partition(" ")[0] for item in resource.operations if " " in item.verb]
    yield show("")
    for prefix in dict.fromkeys(first):
        yield show(prefix)


# --- asked for by a flag --------------------------------------------------------------------------


def asks_for_help(args: dict[str, str | bool]) -> bool:
    """``--help``; a word behind it that was meant for the command does no harm."""
    return HELP in args


def help_for(registry: Registry, request: Request, caller: Caller) -> str:
    """Of the command, else of the resource, else of everything."""
    try:
        found = lookup.find(registry, request, lambda command: may_run(caller, command.about))
    except CommandError:
        words = request.positionals or (request.command,)
        return _topic(registry, words[0], caller)
    if found.command.resource is None and found.command.name == HELP:
        return overview(registry, caller)
    if not may_run(caller, found.command.about):
        return overview(registry, caller)
    return "\n".join(_command_lines(found.command, caller))


def _topic(registry: Registry, topic: str, caller: Caller) -> str:
    resource = registry.resource(topic)
    if resource is not None and topic in {item.plural for item in _visible(registry, caller)}:
        return resource_help(resource, caller)
    command = registry.find(topic)
    if command is not None and may_run(caller, command.about):
        return "\n".join(_command_lines(command, caller))
    names = ", ".join(item.plural for item in _visible(registry, caller))
    raise NotFoundError(f"no help for {topic[:100]!r}; there are: {names}")


# --- texts ----------------------------------------------------------------------------------------


def overview(registry: Registry, caller: Caller) -> str:
    """N-100."""
    lines: list[str] = []
    if _is_bound(caller):
        lines += ["CLI scope: group. Ids of your own group are filled in automatically.", ""]
    lines.append("Resources:")
    for resource in _visible(registry, caller):
        lines.append(f"  {resource.plural:<{NAME_WIDTH}} {resource.description}")
        lines.append(f"  {'':<{NAME_WIDTH}} verbs: {', '.join(_verbs(resource, caller))}")
    lines += ["", "Commands:"]
    for command in _general(registry, caller):
        lines.append(f"  {command.operation.verb:<{NAME_WIDTH}} {command.operation.help}")
    lines += ["", "Run `ncl <resource> help` for verbs and fields."]
    return "\n".join(lines)


def resource_help(resource: ResourceSpec, caller: Caller, prefix: str = "") -> str:
    """N-101. ``prefix``: only the verbs that begin with this word."""
    lines = [f"{resource.plural}: {resource.description}"]
    if _is_bound(caller):
        lines.append("CLI scope: group. Ids of your own group are filled in automatically.")
    lines += ["", "Verbs:"]
    for command in _of_resource(resource, caller):
        if not prefix or command.operation.verb.startswith(prefix + " "):
            lines += _verb_lines(command, caller)
    if not prefix:
        lines += ["", "Fields:"]
        lines += [_field_line(resource, column, caller) for column in resource.columns]
    return "\n".join(lines)


def _verb_lines(command: Command, caller: Caller) -> Iterator[str]:
    operation = command.operation
    words = operation.verb
    target = operation.target
    if target is not None and not _is_filled(command, target, caller):
        word = target.name.replace("_", "-")
        words += f" <{word}>" if target.required else f" [{word}]"
    only = ", host only" if operation.host_only else ""
    yield f"  {words} [{operation.access}{only}] — {operation.help}"
    if operation.verb in STANDARD:
        return
    for spec in operation.arguments:
        yield "    " + _flag_line(spec)


def _command_lines(command: Command, caller: Caller) -> Iterator[str]:
    operation = command.operation
    yield f"ncl {command.words} [{operation.access}] — {operation.help}"
    if operation.arguments:
        yield ""
        yield "Flags:"
    for spec in operation.arguments:
        filled = " (auto-filled)" if _is_filled(command, spec, caller) else ""
        yield "  " + _flag_line(spec) + filled
    if operation.mutating:
        yield f"  {'--dry-run':<{TYPED_WIDTH}} show what would change, and change nothing"
    if operation.examples:
        yield ""
        yield "Examples:"
    for example in operation.examples:
        yield f"  {example}"


def _flag_line(spec: ArgumentSpec) -> str:
    tags = [
        *(["required"] if spec.required else []),
        *([f"default: {spec.default}"] if spec.default is not None else []),
        *([f"values: {' | '.join(spec.choices)}"] if spec.choices else []),
        *(["host only"] if spec.host_only else []),
    ]
    shown = f" ({', '.join(tags)})" if tags else ""
    value = "" if spec.kind is Kind.FLAG else f" <{spec.kind}>"
    return f"{spec.flag + value:<{TYPED_WIDTH}} {spec.help}{shown}".rstrip()


def _field_line(resource: ResourceSpec, column: ColumnSpec, caller: Caller) -> str:
    own = resource.scope_field == column.name and _is_bound(caller)
    tags = [
        *(["auto-filled"] if own else []),
        *(["auto"] if column.generated else []),
        *(["required"] if column.required else []),
        *(["updatable"] if column.updatable else []),
        *([f"default: {column.default}"] if column.default is not None else []),
        *([f"values: {' | '.join(column.choices)}"] if column.choices else []),
    ]
    shown = f" ({', '.join(tags)})" if tags else ""
    flag = "--" + column.name.replace("_", "-")
    return f"  {flag:<{FLAG_WIDTH}} {column.help}{shown}".rstrip()


# --- data -----------------------------------------------------------------------------------------


def described(registry: Registry, caller: Caller, topic: str | None = None) -> dict[str, object]:
    """Names, columns and flags of everything that the caller may run."""
    return {
        "resources": [
            _resource_data(resource, caller)
            for resource in _visible(registry, caller)
            if topic in (None, resource.plural)
        ],
        "commands": [
            _operation_data(command)
            for command in _general(registry, caller)
            if topic in (None, command.name)
        ],
    }


def _resource_data(resource: ResourceSpec, caller: Caller) -> dict[str, object]:
    return {
        "name": resource.name,
        "plural": resource.plural,
        "description": resource.description,
        "id_column": resource.id_column,
        "scope_field": resource.scope_field,
        "columns": [
            {
                "name": column.name,
                "type": column.kind.value,
                "description": column.help,
                "generated": column.generated,
                "required": column.required,
                "updatable": column.updatable,
                "default": column.default,
                "values": list(column.choices),
            }
            for column in resource.columns
        ],
        "operations": [_operation_data(item) for item in _of_resource(resource, caller)],
    }


def _operation_data(command: Command) -> dict[str, object]:
    operation = command.operation
    target = operation.target
    return {
        "command": command.name,
        "verb": operation.verb,
        "access": operation.access.value,
        "host_only": operation.host_only,
        "mutating": operation.mutating,
        "description": operation.help,
        "seconds": operation.seconds,
        "target": target.name if target is not None else None,
        "arguments": [_argument_data(spec) for spec in operation.arguments],
        "examples": list(operation.examples),
    }


def _argument_data(spec: ArgumentSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "flag": spec.flag,
        "type": spec.kind.value,
        "description": spec.help,
        "required": spec.required,
        "nullable": spec.nullable,
        "default": spec.default,
        "values": list(spec.choices),
        "host_only": spec.host_only,
    }


# --- what a caller may see ------------------------------------------------------------------------


def _visible(registry: Registry, caller: Caller) -> list[ResourceSpec]:
    """By plural; those of which the caller may run anything."""
    found = [item for item in registry.resources if any(_of_resource(item, caller))]
    return sorted(found, key=lambda item: item.plural)


def _of_resource(resource: ResourceSpec, caller: Caller) -> Iterator[Command]:
    for operation in resource.operations:
        name = f"{resource.plural}-{operation.verb.replace(' ', '-')}"
        command = Command(name, operation, resource)
        is_shown = operation.access is not Access.HIDDEN
        if is_shown and not _is_help(operation) and may_run(caller, command.about):
            yield command


def _general(registry: Registry, caller: Caller) -> Iterable[Command]:
    for command in registry:
        is_shown = command.operation.access is not Access.HIDDEN
        if command.resource is None and is_shown and may_run(caller, command.about):
            yield command


def _verbs(resource: ResourceSpec, caller: Caller) -> list[str]:
    words = [command.operation.verb for command in _of_resource(resource, caller)]
    return [word for word in STANDARD if word in words] + [
        word for word in words if word not in STANDARD
    ]


def _is_help(operation: Operation) -> bool:
    return operation.verb == HELP or operation.verb.endswith(f" {HELP}")


def _is_bound(caller: Caller) -> bool:
    return isinstance(caller, AgentCaller) and caller.scope is not CliScope.GLOBAL


def _is_filled(command: Command, spec: ArgumentSpec, caller: Caller) -> bool:
    if not _is_bound(caller):
        return False
    if spec.name in ("agent_group_id", "group"):
        return True
    return spec.name == "id" and command.resource is not None and command.resource.keyed_by_group
