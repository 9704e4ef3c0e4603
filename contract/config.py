"""The two files the host writes into ``in/`` for a runner, and nothing else reads.

``session.json`` belongs to one start of one container: lease token, provider, door, limits.
``container.json`` is the group's configuration with the reference's keys (R-6, R-7). A wrong
value in it is reported and replaced by the default, and never stops the start (R-9); a broken
``session.json`` does, because without a lease nothing may be claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.layout import MOUNT_DOOR
from contract.shape import Shape
from contract.version import CONTRACT_VERSION

MAX_CONFIG_BYTES = 1024 * 1024
DEFAULT_PROVIDER = "claude"
DEFAULT_IDLE_EXIT_SECONDS = 1800
DEFAULT_HEARTBEAT_SECONDS = 5.0
DEFAULT_MESSAGES_PER_PROMPT = 10
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits(Shape):
    """What the runner keeps itself to; the host checks the same from outside."""

    file_bytes: int = 1024 * 1024 * 1024
    disk_bytes: int = 4 * 1024 * 1024 * 1024
    turn_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorConfig(Shape):
    """The way out: the token that the vault knows this session's container by.

    ``folder`` holds the vault's socket. The token is worth nothing elsewhere and dies with its
    lease, so that the agent may know it.
    """

    token: str
    folder: str = MOUNT_DOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(Shape):
    """``in/session.json``. ``lease`` is the fencing token of this container's claims."""

    session_id: str
    agent_group_id: str
    lease: int
    contract: int = CONTRACT_VERSION
    provider: str = DEFAULT_PROVIDER
    idle_exit_seconds: float = DEFAULT_IDLE_EXIT_SECONDS
    heartbeat_seconds: float = DEFAULT_HEARTBEAT_SECONDS
    limits: SessionLimits = field(default_factory=SessionLimits)
    timezone: str = "UTC"
    assistant_name: str | None = None
    door: DoorConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer(Shape):
    """A program (``command``) or an address (``type``, ``url``)."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    type: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    instructions: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages(Shape):
    apt: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionalMount(Shape):
    host_path: str
    container_path: str | None = None
    readonly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig(Shape):
    """``in/container.json``. Keys of later parts stay in ``extra``."""

    provider: str = DEFAULT_PROVIDER
    assistant_name: str | None = None
    group_name: str | None = None
    agent_group_id: str | None = None
    max_messages_per_prompt: int = DEFAULT_MESSAGES_PER_PROMPT
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    packages: Packages = field(default_factory=Packages)
    image_tag: str | None = None
    additional_mounts: tuple[AdditionalMount, ...] = ()
    skills: object = "all"
    model: str | None = None
    effort: str | None = None
    idle_exit_seconds: float | None = None
    script: str | None = None
    fallback_model: str | None = None
    max_turn_seconds: int | None = None
    max_cost_per_turn_usd: float | None = None
    max_cost_per_day_usd: float | None = None
    native_attachments: bool = True
    compat: Mapping[str, object] = field(default_factory=dict)
    prices: Mapping[str, object] = field(default_factory=dict)
    web_tools: str = "auto"
    tool_timeouts: Mapping[str, float] = field(default_factory=dict)
    disabled_tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadRunnerConfig:
    """A usable configuration and what was wrong with the text, to be logged once."""

    config: RunnerConfig
    problems: tuple[str, ...] = ()


def dump_config(config: SessionConfig | RunnerConfig) -> str:
    """The text of either file."""
    return dump(config.plain()) + "\n"


def parse_session_config(text: str) -> SessionConfig:
    """Raises BadContent; the runner then leaves with RunnerExit.CONFIG."""
    config = SessionConfig.read(parse_object(text, max_bytes=MAX_CONFIG_BYTES))
    if config.contract != CONTRACT_VERSION:
        raise BadContent(f"session.json is of contract {config.contract}, not {CONTRACT_VERSION}")
    return config


def parse_runner_config(text: str) -> ReadRunnerConfig:
    """Never raises: whatever cannot be used is named and replaced by its default (R-9)."""
    try:
        value = parse_object(text, max_bytes=MAX_CONFIG_BYTES)
    except BadContent as error:
        return ReadRunnerConfig(RunnerConfig(), (f"container.json is unusable: {error}",))
    servers, problems = _usable_servers(value.pop("mcpServers", None))
    present = {key: item for key, item in value.items() if item or key == "idleExitSeconds"}
    config = replace(RunnerConfig.read(present), mcp_servers=servers)
    problems += [f"{key} has a wrong type" for key in _KEYS if key in config.extra]
    if config.max_messages_per_prompt < 1:
        problems.append("maxMessagesPerPrompt is below 1")
        config = replace(config, max_messages_per_prompt=DEFAULT_MESSAGES_PER_PROMPT)
    if config.effort is not None and config.effort not in EFFORTS:
        problems.append("effort is unknown")
        config = replace(config, effort=None)
    return ReadRunnerConfig(replace(config, provider=config.provider.lower()), tuple(problems))


_KEYS = ("provider", "assistantName", "maxMessagesPerPrompt", "model", "effort", "script")


def _usable_servers(value: object) -> tuple[dict[str, McpServer], list[str]]:
    servers: dict[str, McpServer] = {}
    problems: list[str] = []
    if not isinstance(value, dict):
        return {}, ["mcpServers is not an object"] if value else []
    for name, entry in value.items():
        try:
            server = McpServer.read(entry)
        except BadContent:
            server = McpServer()
        if server.command or server.url:
            servers[name] = server
        else:
            problems.append(f"MCP server {name} has neither command nor url")
    return servers, problems
