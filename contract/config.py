"""The two files the host writes into ``in/`` for a runner, and nothing else reads.

``session.json`` belongs to one start of one container: lease token, provider, door, limits.
``container.json`` is the group's configuration with the reference's keys (R-6, R-7). A wrong
value in it is reported and replaced by the default, and never stops the start (R-9); a broken
``session.json`` does, because without a lease nothing may be claimed.
"""

from collections.abc import Iterator, Mapping
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
WEB_TOOLS = frozenset({"auto", "server", "client", "off"})
ALL_SKILLS = "all"
RESERVED_SERVER = "nanoclaw"
"""Our own tools; a configured server of this name would get every outgoing message (R-26)."""
MAX_SECONDS = 30 * 24 * 3600
MAX_MESSAGES_PER_PROMPT = 1000
MAX_COST_USD = 1e6


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

    token: str = field(repr=False)
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
    """A program (``command``) or an address (``url``; ``type`` is then ``http`` or ``sse``).

    ``instructions`` is for the host's composition of CLAUDE.md; a runner reads it as None (R-27).
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    type: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
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
    skills: object = ALL_SKILLS
    """``"all"`` or a list of names; ``selected_skills`` is the same with a type."""
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

    @property
    def selected_skills(self) -> frozenset[str] | None:
        """None: all of them."""
        if isinstance(self.skills, list | tuple):
            return frozenset(str(name) for name in self.skills)
        return None


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
    problems: list[str] = []
    servers = _usable_servers(value.pop("mcpServers", None), problems)
    present = {key: item for key, item in value.items() if not _is_absent(key, item)}
    for key, reason in _unusable(present):
        problems.append(f"{key} {reason}")
        del present[key]
    read = RunnerConfig.read(present)
    wrong = read.wrong_keys()
    problems += [f"{key} has a wrong type" for key in wrong]
    extra = {key: item for key, item in read.extra.items() if key not in wrong}
    config = replace(
        read,
        provider=read.provider.strip().lower() or DEFAULT_PROVIDER,
        effort=read.effort and read.effort.strip().lower(),
        web_tools=read.web_tools.strip().lower(),
        mcp_servers=servers,
        extra=extra,
    )
    return ReadRunnerConfig(config, tuple(problems))


_MEANT_WHEN_EMPTY = frozenset({"idleExitSeconds", "nativeAttachments"})
"""0 and false say something here; elsewhere they count as "not given" (R-6)."""
_RANGES: Mapping[str, tuple[float, float]] = {
    "maxMessagesPerPrompt": (1, MAX_MESSAGES_PER_PROMPT),
    "idleExitSeconds": (0, MAX_SECONDS),
    "maxTurnSeconds": (1, MAX_SECONDS),
    "maxCostPerTurnUsd": (0, MAX_COST_USD),
    "maxCostPerDayUsd": (0, MAX_COST_USD),
}
_WORDS: Mapping[str, frozenset[str]] = {"effort": EFFORTS, "webTools": WEB_TOOLS}


def _is_absent(key: str, item: object) -> bool:
    if key in _MEANT_WHEN_EMPTY:
        return item is None or item == ""
    return item is None or item == "" or (isinstance(item, int | float) and not item)


def _unusable(present: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Values of the right type that say nothing we could do; wrong types are found later."""
    for key, (lowest, highest) in _RANGES.items():
        item = present.get(key)
        if isinstance(item, int | float) and not isinstance(item, bool):
            if item > highest:
                yield key, f"is above {highest:g}"
            elif item < lowest:
                yield key, f"is below {lowest:g}"
    for key, words in _WORDS.items():
        item = present.get(key)
        if isinstance(item, str) and item.strip().lower() not in words:
            yield key, f"is unknown; known are {', '.join(sorted(words))}"
    skills = present.get("skills", ALL_SKILLS)
    if not (skills == ALL_SKILLS or _is_list_of_names(skills)):
        yield "skills", 'is neither "all" nor a list of names'
    timeouts = present.get("toolTimeouts")
    if isinstance(timeouts, dict) and not all(_is_duration(item) for item in timeouts.values()):
        yield "toolTimeouts", "has values that are no numbers of seconds"


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_duration(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= MAX_SECONDS


def _usable_servers(value: object, problems: list[str]) -> dict[str, McpServer]:
    if not isinstance(value, dict):
        problems += ["mcpServers is not an object"] if value else []
        return {}
    servers: dict[str, McpServer] = {}
    for name, entry in value.items():
        try:
            servers[name] = _usable_server(name, entry)
        except BadContent as error:
            problems.append(f"MCP server {name} {error}")
    return servers


def _usable_server(name: str, entry: object) -> McpServer:
    """Raises BadContent with the rest of a sentence that begins with the server's name.

    A server is never started with half of its settings: it may do something else without them.
    """
    if name.strip().lower() == RESERVED_SERVER:
        raise BadContent("is refused: the name belongs to our own tools")
    if not name.strip():
        raise BadContent("is refused: it has no name")
    if not isinstance(entry, dict):
        raise BadContent("has neither command nor url")
    given = {key: item for key, item in entry.items() if item is not None}
    server = McpServer.read({key: _with_text_values(key, item) for key, item in given.items()})
    for key in server.wrong_keys():
        raise BadContent(f"is refused: {key} has a wrong type")
    if server.command:
        return replace(server, type=None, url=None, instructions=None)
    if not server.url:
        raise BadContent("has neither command nor url")
    if not server.url.startswith(("http://", "https://")):
        raise BadContent("is refused: its url does not begin with http:// or https://")
    kind = _SERVER_TYPES.get((server.type or "http").lower())
    if kind is None:
        raise BadContent("is refused: its type is neither http nor sse")
    return replace(server, type=kind, instructions=None)


_SERVER_TYPES = {
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamablehttp": "http",
    "sse": "sse",
}


def _with_text_values(key: str, item: object) -> object:
    """Numbers and switches in ``env`` and ``headers`` are meant as text."""
    if key == "args" and isinstance(item, list):
        return [_as_text(value) for value in item]
    if key in ("env", "headers") and isinstance(item, dict):
        return {name: _as_text(value) for name, value in item.items()}
    return item


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value
