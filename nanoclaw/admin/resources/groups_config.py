"""``groups config ...``: how the containers of an agent are made (N-67 to N-72, N-81 to N-86).

Takes effect when a container is next started. Values are checked here as strictly as the runner
checks them, so that nothing is stored which would be ignored later.
"""

from collections.abc import Mapping
from dataclasses import fields

from contract.config import EFFORTS, MAX_MESSAGES_PER_PROMPT, MAX_SECONDS, WEB_TOOLS
from nanoclaw.admin.arguments import Arguments, Value
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, Kind, Operation
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.groups_parts import PART_OPERATIONS
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.errors import ConfigError
from nanoclaw.model import CliScope, ContainerConfig, EgressMode
from nanoclaw.model_settings import matches, read_patterns, read_prices
from nanoclaw.policy.egress.hosts import EgressRuleError
from nanoclaw.policy.egress.rule import check_allowing, parse_rule

PROVIDERS = ("claude", "scripted")
SCOPES = tuple(scope.value for scope in CliScope)
MODES = tuple(mode.value for mode in EgressMode)
MAX_RULES = 200
AT_NEXT_START = "takes effect when its containers next start; see `ncl groups restart`"

GROUP = ArgumentSpec(
    "id", "which agent", required=True, positional=True, missing="--id is required"
)

SCALARS = (
    ArgumentSpec("provider", "who thinks", choices=PROVIDERS, nullable=True),
    ArgumentSpec("model", "the model's name or alias", nullable=True),
    ArgumentSpec("effort", "how hard it thinks", choices=tuple(sorted(EFFORTS)), nullable=True),
    ArgumentSpec("image_tag", "image of its containers", nullable=True),
    ArgumentSpec("assistant_name", "what it calls itself", nullable=True),
    ArgumentSpec("max_messages_per_prompt", "of one turn", Kind.INTEGER, nullable=True,
                 minimum=1, maximum=MAX_MESSAGES_PER_PROMPT),
    ArgumentSpec("cli_scope", "what it may see of ncl", choices=SCOPES),
)  # fmt: skip
"""The seven of every version."""
FURTHER = (
    ArgumentSpec("fallback_model", "when the model is overloaded", nullable=True),
    ArgumentSpec("max_cost_per_turn_usd", "a hard stop", Kind.NUMBER, nullable=True, minimum=0),
    ArgumentSpec("max_cost_per_day_usd", "a hard stop", Kind.NUMBER, nullable=True, minimum=0),
    ArgumentSpec("max_turn_seconds", "how long a turn may take", Kind.INTEGER, nullable=True,
                 minimum=1, maximum=MAX_SECONDS),
    ArgumentSpec("idle_exit_seconds", "leaves when idle for so long; 0: never", Kind.INTEGER,
                 nullable=True, minimum=0, maximum=MAX_SECONDS),
    ArgumentSpec("close_after_days", "of quiet; 0: never", Kind.INTEGER, nullable=True,
                 minimum=0, maximum=36_500),
    ArgumentSpec("web_tools", "who fetches pages", choices=tuple(sorted(WEB_TOOLS)), nullable=True),
    ArgumentSpec("native_attachments", "pictures and PDF files go to the model as such",
                 Kind.BOOLEAN),
    ArgumentSpec("memory_mb", "of a container", Kind.INTEGER, nullable=True, minimum=64,
                 maximum=2**22, host_only=True),
    ArgumentSpec("cpus", "of a container", Kind.NUMBER, nullable=True, minimum=0.05, maximum=1024,
                 host_only=True),
    ArgumentSpec("pids_limit", "processes of a container", Kind.INTEGER, nullable=True, minimum=16,
                 maximum=2**22, host_only=True),
    ArgumentSpec("disk_mb", "of its folders", Kind.INTEGER, nullable=True, minimum=16,
                 maximum=2**30, host_only=True),
    ArgumentSpec("max_containers", "of this agent at once", Kind.INTEGER, nullable=True, minimum=1,
                 maximum=1000, host_only=True),
    ArgumentSpec("egress_mode", "what it may reach", choices=MODES, nullable=True, host_only=True),
    ArgumentSpec("egress_allow", "hosts, a JSON array of rules; see `ncl egress help`", Kind.JSON,
                 host_only=True),
    ArgumentSpec("credential", "name of the vault's key for it", nullable=True, host_only=True),
    ArgumentSpec("endpoint", "the only endpoint of config.toml that its requests go to",
                 nullable=True, host_only=True),
    ArgumentSpec("allowed_models", 'names, or beginnings with a *; []: all', Kind.JSON,
                 host_only=True),
    ArgumentSpec("prices", "dollars per million tokens, as [prices] in config.toml", Kind.JSON,
                 host_only=True),
    ArgumentSpec("taint_guard", "foreign content makes acts need a person", Kind.BOOLEAN,
                 host_only=True),
    ArgumentSpec("agents_quota", "agents it may make without asking", Kind.INTEGER,
                 minimum=0, maximum=1000, host_only=True),
)  # fmt: skip
"""Of ours. What guards the agent is not its own to ask for."""


def config_object(config: ContainerConfig) -> dict[str, object]:
    """N-72: the fields of every version in their order, then ours."""
    first: dict[str, object] = {
        "agent_group_id": config.agent_group_id,
        **{spec.name: getattr(config, spec.name) for spec in SCALARS[:-1]},
        "skills": "all" if config.skills is None else list(config.skills),
        "mcp_servers": {name: server.plain() for name, server in config.mcp_servers.items()},
        "packages_apt": list(config.packages_apt),
        "packages_npm": list(config.packages_npm),
        "additional_mounts": [mount.plain() for mount in config.additional_mounts],
        "cli_scope": config.cli_scope.value,
        "updated_at": config.updated_at,
    }
    known = {*first, "script"}
    others = {item.name: getattr(config, item.name) for item in fields(config)}
    return first | {name: value for name, value in others.items() if name not in known}


def stored_config(context: CommandContext, agent_group_id: str) -> ContainerConfig:
    """Raises CommandError. A group of the earlier program that was never started has none."""
    config = container_configs.get(context.conn, agent_group_id)
    if config is None and agent_groups.get(context.conn, agent_group_id) is not None:
        raise CommandError(f"No container config for group: {agent_group_id}")
    if config is None:
        checks.group(context.conn, agent_group_id)
    assert config is not None, "a group that is not there was refused"
    return config


def _get(context: CommandContext, arguments: Arguments) -> object:
    return config_object(stored_config(context, arguments.text("id")))


def _update(context: CommandContext, arguments: Arguments) -> object:
    group_id = arguments.text("id")
    checks.group(context.conn, group_id)
    container_configs.ensure(context.conn, group_id, context.now)
    given = {name: value for name, value in arguments.values.items() if name != "id"}
    if not given:
        flags = ", ".join(spec.flag for spec in (*SCALARS, *FURTHER))
        raise InvalidArgsError(f"Nothing to update; give one of: {flags}")
    container_configs.update(context.conn, group_id, _change(given), context.now)
    config = stored_config(context, group_id)
    check_models(config, {endpoint.name for endpoint in context.config.endpoints})
    note = AT_NEXT_START
    if "cli_scope" in given:
        note = f"cli_scope and the agent's instructions about ncl: {AT_NEXT_START}"
    return config_object(stored_config(context, group_id)) | {"note": note}


def check_models(config: ContainerConfig, endpoints: set[str]) -> None:
    """What would be refused with every request is refused here. Raises InvalidArgsError."""
    if config.endpoint is not None and config.endpoint not in (endpoints or {"default"}):
        known = ", ".join(sorted(endpoints)) or "default"
        raise InvalidArgsError(f"--endpoint {config.endpoint!r} is not in config.toml: {known}")
    for flag, name in (("--model", config.model), ("--fallback-model", config.fallback_model)):
        if name is None or not config.allowed_models:
            continue
        # A short name such as "opus" stands for whichever the provider has at the time.
        fits = any(matches(p, name) or f"-{name}" in p for p in config.allowed_models)
        if not fits:
            allowed = ", ".join(config.allowed_models)
            raise InvalidArgsError(f"{flag} {name} is not one of the allowed models: {allowed}")


def _change(given: Mapping[str, Value]) -> ContainerConfigChange:
    values: dict[str, object] = dict(given)
    try:
        if "allowed_models" in given:
            values["allowed_models"] = read_patterns(given["allowed_models"])
        if "prices" in given:
            values["prices"] = read_prices(given["prices"], "--prices")
    except (ValueError, ConfigError) as error:
        raise InvalidArgsError(f"--allowed-models or --prices: {error}") from error
    scope, mode = given.get("cli_scope"), given.get("egress_mode")
    if isinstance(scope, str):
        values["cli_scope"] = CliScope(scope)
    if isinstance(mode, str):
        values["egress_mode"] = EgressMode(mode)
    if "egress_allow" in given:
        values["egress_allow"] = _rules(given["egress_allow"])
    # The specs above give each value the type of its column.
    return ContainerConfigChange(**values)  # type: ignore[arg-type]


def _rules(value: Value) -> tuple[str, ...]:
    """Each in its one spelling."""
    if not isinstance(value, list) or len(value) > MAX_RULES:
        raise InvalidArgsError(
            f"--egress-allow takes a JSON array of at most {MAX_RULES} rules, like "
            '\'["pypi.org", "GET api.example.com/v1"]\''
        )
    try:
        rules = [parse_rule(item if isinstance(item, str) else repr(item)) for item in value]
        for rule in rules:
            check_allowing(rule)
    except EgressRuleError as error:
        raise InvalidArgsError(f"--egress-allow: {error}") from error
    return tuple(dict.fromkeys(rule.text for rule in rules))


CONFIG_OPERATIONS = (
    Operation("config get", Access.OPEN, "show how its containers are made", _get, (GROUP,)),
    Operation(
        "config update", Access.APPROVAL, "change how its containers are made", _update,
        (GROUP, *SCALARS, *FURTHER), mutating=True,
        examples=("ncl groups config update ag-1 --model opus --null effort",),
    ),
    *PART_OPERATIONS,
)  # fmt: skip
