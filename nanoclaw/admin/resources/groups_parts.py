"""``groups config add-...`` and ``remove-...``: lists in a container configuration (N-66 to N-70).

Tool servers, packages, skills and mounts. Each is checked by whoever uses it later, so that what is
stored can be used; a package is only stored here, it is there after the next build.
"""

from dataclasses import replace

from contract.config import AdditionalMount, McpServer, parse_runner_config
from contract.jsontext import dump
from nanoclaw.admin.arguments import Arguments, Value
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, Kind, Operation
from nanoclaw.admin.resources import checks
from nanoclaw.agents.servers import MAX_SERVERS
from nanoclaw.containers.mounts import MAX_MOUNTS, target_problem
from nanoclaw.containers.packages import PackageSet, problem_of, stored_packages
from nanoclaw.db import container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import ContainerConfig

MAX_NAME = 48
MAX_SKILLS = 200
REBUILD = "stored; it is there after `ncl groups restart --rebuild`"
RESTART = "takes effect when its containers next start; see `ncl groups restart`"

GROUP = ArgumentSpec(
    "id", "which agent", required=True, positional=True, missing="--id is required"
)
NAME = ArgumentSpec("name", "of the tool server", required=True)
PACKAGES = (
    ArgumentSpec("apt", "a Debian package"),
    ArgumentSpec("npm", "a package of npm"),
    ArgumentSpec("pip", "a package of PyPI"),
)


def _config(context: CommandContext, arguments: Arguments) -> ContainerConfig:
    """The row, made if it was missing."""
    group_id = arguments.text("id")
    checks.group(context.conn, group_id)
    container_configs.ensure(context.conn, group_id, context.now)
    config = container_configs.get(context.conn, group_id)
    assert config is not None, "it was ensured in this transaction"
    return config


def _store(context: CommandContext, config: ContainerConfig, change: ContainerConfigChange) -> None:
    container_configs.update(context.conn, config.agent_group_id, change, context.now)


# --- tool servers ---------------------------------------------------------------------------------


def _add_server(context: CommandContext, arguments: Arguments) -> object:
    config = _config(context, arguments)
    name = arguments.text("name").strip()
    if len(name) > MAX_NAME:
        raise InvalidArgsError(f"--name has more than {MAX_NAME} characters")
    if len(config.mcp_servers) >= MAX_SERVERS and name not in config.mcp_servers:
        raise CommandError(f"there are {MAX_SERVERS} tool servers already")
    server = _server(name, arguments)
    servers = {**config.mcp_servers, name: server}
    _store(context, config, ContainerConfigChange(mcp_servers=servers))
    shown = {key: item.plain() for key, item in servers.items()}
    return {"added": name, "servers": shown, "note": RESTART}


def _server(name: str, arguments: Arguments) -> McpServer:
    """As the runner would read it."""
    entry: dict[str, object] = {
        "command": arguments.text("command"),
        "args": _texts(arguments.get("args"), "--args"),
        "env": _texts_by_name(arguments.get("env"), "--env"),
    }
    read = parse_runner_config(dump({"mcpServers": {name: entry}}))
    if read.problems:
        raise InvalidArgsError(read.problems[0])
    server = read.config.mcp_servers[name]
    return replace(server, instructions=arguments.optional("instructions"))


def _texts(value: Value, flag: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidArgsError(f"{flag} must be a JSON array of texts")
    return [str(item) for item in value]


def _texts_by_name(value: Value, flag: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidArgsError(f"{flag} must be a JSON object of texts")
    return {name: str(item) for name, item in value.items()}


def _remove_server(context: CommandContext, arguments: Arguments) -> object:
    config = _config(context, arguments)
    name = arguments.text("name")
    if name not in config.mcp_servers:
        raise NotFoundError(f'MCP server "{name}" not found')
    servers = {key: item for key, item in config.mcp_servers.items() if key != name}
    _store(context, config, ContainerConfigChange(mcp_servers=servers))
    return {"removed": name, "note": RESTART}


# --- packages -------------------------------------------------------------------------------------


def _named(arguments: Arguments) -> tuple[PackageSet, dict[str, str | None]]:
    given = {spec.name: arguments.optional(spec.name) for spec in PACKAGES}
    if not any(given.values()):
        raise InvalidArgsError("Provide --apt <pkg> or --npm <pkg> (or --pip <pkg>)")
    named = PackageSet.of(
        apt=[given["apt"]] if given["apt"] else (),
        npm=[given["npm"]] if given["npm"] else (),
        pip=[given["pip"]] if given["pip"] else (),
    )
    problem = problem_of(named)
    if problem is not None:
        raise InvalidArgsError(problem)
    return named, given


def _add_package(context: CommandContext, arguments: Arguments) -> object:
    named, given = _named(arguments)
    config = _config(context, arguments)
    packages = stored_packages(config).with_more(named)
    problem = problem_of(packages)
    if problem is not None:
        raise CommandError(problem)
    _store(context, config, _packages(packages))
    return {"added": given, "note": REBUILD}


def _remove_package(context: CommandContext, arguments: Arguments) -> object:
    """One that is not there is no error."""
    named, given = _named(arguments)
    config = _config(context, arguments)
    stored = stored_packages(config)
    kept = PackageSet.of(
        apt=[name for name in stored.apt if name not in named.apt],
        npm=[name for name in stored.npm if name not in named.npm],
        pip=[name for name in stored.pip if name not in named.pip],
    )
    _store(context, config, _packages(kept))
    return {"removed": given, "note": REBUILD.replace("it is there", "it is gone")}


def _packages(packages: PackageSet) -> ContainerConfigChange:
    return ContainerConfigChange(
        packages_apt=packages.apt, packages_npm=packages.npm, packages_pip=packages.pip
    )


# --- skills and mounts ----------------------------------------------------------------------------


def _set_skills(context: CommandContext, arguments: Arguments) -> object:
    config = _config(context, arguments)
    text = arguments.text("skills").strip()
    skills: tuple[str, ...] | None = None
    if text != "all":
        skills = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if len(skills) > MAX_SKILLS or any(not name.isprintable() for name in skills):
            raise InvalidArgsError(f"--skills must be all, or at most {MAX_SKILLS} names")
    _store(context, config, ContainerConfigChange(skills=skills))
    return {"skills": "all" if skills is None else list(skills), "note": RESTART}


def _add_mount(context: CommandContext, arguments: Arguments) -> object:
    config = _config(context, arguments)
    host_path, target = arguments.text("host_path"), arguments.text("container_path")
    problem = target_problem(target)
    if problem is not None:
        raise InvalidArgsError(f"--container-path: {problem}")
    if not host_path.startswith(("/", "~/")):
        raise InvalidArgsError("--host-path must be absolute, or begin with ~/")
    others = [item for item in config.additional_mounts if item.container_path != target]
    if len(others) >= MAX_MOUNTS:
        raise CommandError(f"there are {MAX_MOUNTS} mounts already")
    readonly = arguments.get("readonly") is not False
    mount = AdditionalMount(host_path=host_path, container_path=target, readonly=readonly)
    _store(context, config, ContainerConfigChange(additional_mounts=(*others, mount)))
    note = f"mounted if the allowlist of mounts permits it; {RESTART}"
    return {"added": mount.plain(), "note": note}


def _remove_mount(context: CommandContext, arguments: Arguments) -> object:
    config = _config(context, arguments)
    target = arguments.text("container_path")
    kept = tuple(item for item in config.additional_mounts if item.container_path != target)
    if len(kept) == len(config.additional_mounts):
        raise NotFoundError(f"mount not found: {target}")
    _store(context, config, ContainerConfigChange(additional_mounts=kept))
    return {"removed": target, "note": RESTART}


PART_OPERATIONS = (
    Operation(
        "config add-mcp-server", Access.APPROVAL, "add or replace a tool server", _add_server,
        (
            GROUP, NAME,
            ArgumentSpec("command", "the program", required=True),
            ArgumentSpec("args", "its arguments, a JSON array", Kind.JSON),
            ArgumentSpec("env", "its environment, a JSON object", Kind.JSON),
            ArgumentSpec("instructions", "always told to the agent"),
        ),
        mutating=True,
        examples=(
            "ncl groups config add-mcp-server ag-1 --name maps --command npx --args '[\"maps\"]'",
        ),
    ),
    Operation("config remove-mcp-server", Access.APPROVAL, "remove a tool server",
              _remove_server, (GROUP, NAME), mutating=True),
    Operation("config add-package", Access.APPROVAL, "add a package to its image", _add_package,
              (GROUP, *PACKAGES), mutating=True),
    Operation("config remove-package", Access.APPROVAL, "remove a package from its image",
              _remove_package, (GROUP, *PACKAGES), mutating=True),
    Operation("config set-skills", Access.APPROVAL, "choose its skills", _set_skills,
              (GROUP, ArgumentSpec("skills", "all, or names with commas", required=True)),
              mutating=True),
    Operation(
        "config add-mount", Access.APPROVAL, "show it a folder of this machine", _add_mount,
        (
            GROUP,
            ArgumentSpec("host_path", "the folder here", required=True),
            ArgumentSpec("container_path", "its place below /workspace/extra", required=True),
            ArgumentSpec("readonly", "it may not write there", Kind.BOOLEAN, default="true"),
        ),
        mutating=True,
    ),
    Operation("config remove-mount", Access.APPROVAL, "hide a folder again", _remove_mount,
              (GROUP, ArgumentSpec("container_path", "its place", required=True)), mutating=True),
)  # fmt: skip
