"""Settings of one installation, read once at start and handed to every process.

Each setting of SETTINGS can be given as a flag, an environment variable, a line of ``.env`` or a
key of ``config.toml``, in this order of precedence (design section 10). The environment is read
here and nowhere else in the host. A broken value names the place it came from and what is allowed.
"""

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from nanoclaw.errors import ConfigError
from nanoclaw.model_settings import EndpointSettings, http_address, read_endpoints, read_prices
from nanoclaw.paths import HostPaths

MAX_CONFIG_BYTES = 1024 * 1024


class Runtime(StrEnum):
    """What an agent runs in; ``process`` has no sandbox and must be asked for."""

    DOCKER = "docker"
    PROCESS = "process"


class Network(StrEnum):
    """How agents reach the vault: a mounted socket, or a relay where engines cannot do that."""

    AUTO = "auto"
    SOCKET = "socket"
    RELAY = "relay"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class KeyHeader(StrEnum):
    """How an API key is written on a request: as the SDK does it, or as older endpoints want it."""

    AUTHORIZATION = "authorization"
    X_API_KEY = "x-api-key"


class CredentialsBackend(StrEnum):
    """Who keeps the keys: the vault itself, or an external OneCLI gateway behind it."""

    NATIVE = "native"
    ONECLI = "onecli"


class SecretsBackend(StrEnum):
    """Where the values of secrets lie: files below ``secrets/``, or the system's keyring."""

    FILES = "files"
    KEYRING = "keyring"


DEFAULT_BASE_URL = "https://api.anthropic.com"
DEFAULT_ONECLI_URL = "https://app.onecli.sh"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Every setting of the host, valid and in its unit."""

    home: Path
    log_level: LogLevel = LogLevel.INFO
    runtime: Runtime = Runtime.DOCKER
    network: Network = Network.AUTO
    timezone: str = "UTC"
    max_running: int = 8
    idle_exit_seconds: int = 1800
    stop_agents_on_exit: bool = False
    docker_host: str = "unix:///var/run/docker.sock"
    image: str = ""
    image_base: str = ""
    base_image: str = "debian:trixie-slim"
    browser: bool = False
    cjk_fonts: bool = False
    assistant_name: str = "Andy"
    provider: str = ""
    anthropic_base_url: str = DEFAULT_BASE_URL
    anthropic_key_header: KeyHeader = KeyHeader.AUTHORIZATION
    secrets_backend: SecretsBackend = SecretsBackend.FILES
    credentials_backend: CredentialsBackend = CredentialsBackend.NATIVE
    onecli_url: str = DEFAULT_ONECLI_URL
    onecli_gateway_url: str = ""
    gateway_required: bool = True
    endpoints: tuple[EndpointSettings, ...] = ()
    """Of the table ``[[endpoints]]``; empty: ``anthropic_base_url`` is the only one."""
    backup_every: str = "30 3 * * *"
    backup_keep: str = "7,4,6"
    prices: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Of the table ``[prices]``: over those that we ship, and under an agent group's own."""
    model_key_present: bool = field(default=False, compare=False)

    @property
    def paths(self) -> HostPaths:
        return HostPaths(self.home)


Parse = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its key in config.toml, its flag and its environment variable."""

    key: str
    variable: str
    parse: Parse
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")


def _integer(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"must be {low} to {high}")
        return number

    return parse


def _yes_or_no(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError("must be true or false")
    return word in ("1", "true", "yes")


def _choice(kind: type[StrEnum]) -> Parse:
    def parse(text: str) -> StrEnum:
        try:
            return kind(text.strip().lower())
        except ValueError:
            raise ValueError("must be one of " + ", ".join(kind)) from None

    return parse


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, LookupError):
        raise ValueError("is not an IANA time zone such as Europe/Berlin") from None
    return text


def _engine_address(text: str) -> str:
    if not text.startswith(("unix://", "tcp://", "http://", "https://", "ssh://")):
        raise ValueError("must start with unix://, tcp:// or ssh://")
    return text


def _schedule(text: str) -> str:
    if text.strip().lower() == "off":
        return "off"
    from contract.errors import BadContent
    from contract.recurrence import check_recurrence

    try:
        return check_recurrence(text)
    except BadContent as error:
        raise ValueError(f"must be five cron fields or off: {error}") from None


def _kept_periods(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) <= 1000 for part in parts):
        raise ValueError("must be three numbers such as 7,4,6: days, weeks, months")
    if int(parts[0]) < 1:
        raise ValueError("must keep at least one day")
    return ",".join(parts)


SETTINGS: tuple[Setting, ...] = (
    Setting("log_level", "LOG_LEVEL", _choice(LogLevel), "debug, info, warning or error"),
    Setting("runtime", "NANOCLAW_RUNTIME", _choice(Runtime), "docker, or process (no sandbox)"),
    Setting("network", "NANOCLAW_NETWORK", _choice(Network),
            "agents reach the vault by socket or by relay; auto finds out"),
    Setting("timezone", "TZ", _zone, "IANA time zone of schedules and message times"),
    Setting("max_running", "MAX_CONCURRENT_CONTAINERS", _integer(1, 1000),
            "containers that may run at once"),
    Setting("idle_exit_seconds", "NANOCLAW_IDLE_EXIT_SECONDS", _integer(0, 7 * 86400),
            "an idle agent leaves after this time; 0 = never"),
    Setting("stop_agents_on_exit", "NANOCLAW_STOP_AGENTS_ON_EXIT", _yes_or_no,
            "true: stop agents with the host instead of leaving them to its next start"),
    Setting("docker_host", "DOCKER_HOST", _engine_address, "address of the container engine"),
    Setting("image", "CONTAINER_IMAGE", str, "agent image to use instead of building one"),
    Setting("image_base", "CONTAINER_IMAGE_BASE", str, "name of the images that are built"),
    Setting("base_image", "NANOCLAW_BASE_IMAGE", str, "image that the agent image is built on"),
    Setting("browser", "INSTALL_BROWSER", _yes_or_no, "true: the agent image has a browser"),
    Setting("cjk_fonts", "INSTALL_CJK_FONTS", _yes_or_no,
            "true: fonts for Chinese, Japanese and Korean in the agent image"),
    Setting("assistant_name", "ASSISTANT_NAME", str, "name of the first agent"),
    Setting("provider", "NANOCLAW_PROVIDER", str, "model provider of new agents"),
    Setting("anthropic_base_url", "ANTHROPIC_BASE_URL", http_address,
            "address of the Messages API that the vault passes requests to"),
    Setting("anthropic_key_header", "NANOCLAW_KEY_HEADER", _choice(KeyHeader),
            "header for an API key: authorization, or x-api-key for endpoints that want it"),
    Setting("secrets_backend", "NANOCLAW_SECRETS_BACKEND", _choice(SecretsBackend),
            "files (below secrets/), or keyring (the system's own)"),
    Setting("credentials_backend", "NANOCLAW_CREDENTIALS_BACKEND", _choice(CredentialsBackend),
            "native, or onecli (an external gateway keeps the keys)"),
    Setting("onecli_url", "ONECLI_URL", http_address, "address of OneCLI"),
    Setting("onecli_gateway_url", "ONECLI_GATEWAY_URL", http_address,
            "address of OneCLI's gateway, if it is not the one that OneCLI names"),
    Setting("backup_every", "NANOCLAW_BACKUP_EVERY", _schedule,
            "when backups are made: five cron fields in the time zone, or off"),
    Setting("backup_keep", "NANOCLAW_BACKUP_KEEP", _kept_periods,
            "days, weeks and months of which a backup is kept, such as 7,4,6"),
    Setting("gateway_required", "NANOCLAW_GATEWAY_REQUIRED", _yes_or_no,
            "false: agents start also when OneCLI does not answer, without its credentials"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """How to reach the program that started us as a service, if one did (sd_notify(3))."""

    notify_socket: str | None = None
    watchdog_usec: int | None = None
    watchdog_pid: int | None = None


def read_service_manager(environment: MutableMapping[str, str] | None = None) -> ServiceManager:
    """Takes the service manager's variables out of the environment: children have no use for
    them and must not speak in our name."""
    environment = os.environ if environment is None else environment
    address = environment.pop("NOTIFY_SOCKET", "")
    usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    return ServiceManager(
        notify_socket=address if address.startswith(("/", "@")) else None,
        watchdog_usec=int(usec) if usec.isdecimal() and int(usec) > 0 else None,
        watchdog_pid=int(pid) if pid.isdecimal() else None,
    )


def host_environment() -> Mapping[str, str]:
    """The variables of this process, for those few places that hand some of them on."""
    return os.environ


TABLES = ("endpoints", "prices")
"""Of ``config.toml``; read by ``model_settings``."""
MODEL_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
KEY_FILES = ("anthropic-api-key", "anthropic-auth-token")
"""Below ``secrets/``."""


def default_home(environment: Mapping[str, str]) -> Path:
    """``NANOCLAW_HOME``, else the user's data folder."""
    given = environment.get("NANOCLAW_HOME")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_data_path  # only needed here; keeps other starts fast

    return user_data_path("nanoclaw", appauthor=False)


def load_config(
    *,
    home: Path | None = None,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> HostConfig:
    """Reads all sources. Raises ConfigError for the first broken value, naming its source."""
    environment = os.environ if environment is None else environment
    home = (home or default_home(environment)).expanduser().absolute()
    paths = HostPaths(home)
    env_file = read_env_file(paths.env_file)
    table = _read_toml(paths.config_file)
    sources: tuple[tuple[str, Mapping[str, str], bool], ...] = (
        ("the command line", flags or {}, True),
        ("the environment", environment, False),
        (str(paths.env_file), env_file, False),
        (str(paths.config_file), _plain_settings(table), True),
    )
    config = HostConfig(home, timezone=_system_timezone())
    values: dict[str, Any] = {}  # each setting's parser gives the type of its own field
    for setting in SETTINGS:
        for source, mapping, by_key in sources:
            text = mapping.get(setting.key if by_key else setting.variable, "")
            if text:
                values[setting.key] = _parse(setting, text, source)
                break
    from_gateway = values.get("credentials_backend") is CredentialsBackend.ONECLI
    values["model_key_present"] = (
        from_gateway
        or any(environment.get(k) or env_file.get(k) for k in MODEL_KEYS)
        or any((paths.secrets / name).is_file() for name in KEY_FILES)
    )
    if values.get("secrets_backend") is SecretsBackend.KEYRING and not values["model_key_present"]:
        index = _read_text(paths.secrets / ".index.json") or ""
        values["model_key_present"] = any(f'"{name}"' in index for name in KEY_FILES)
    if "endpoints" in table:
        values["endpoints"] = read_endpoints(table["endpoints"], str(paths.config_file))
    if "prices" in table:
        values["prices"] = read_prices(table["prices"], str(paths.config_file))
    known = {item.name for item in fields(HostConfig)}
    return replace(config, **{key: value for key, value in values.items() if key in known})


def _parse(setting: Setting, text: str, source: str) -> object:
    try:
        return setting.parse(text)
    except ValueError as error:
        name = setting.key if source.endswith(".toml") else setting.variable
        if source == "the command line":
            name = setting.flag
        detail = str(error) if str(error).startswith(("must", "is not")) else setting.help
        raise ConfigError(f"{name} = {text!r} in {source}: {detail}") from None


def _read_toml(path: Path) -> Mapping[str, object]:
    text = _read_text(path)
    if text is None:
        return {}
    import tomllib  # a megabyte that every process of a home without this file saves

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct or remove it") from None
    known = [setting.key for setting in SETTINGS]
    for key, value in table.items():
        if key not in known and key not in TABLES and not isinstance(value, dict):
            import difflib

            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "known keys: " + ", ".join(known)
            raise ConfigError(f"unknown key {key!r} in {path}; {hint}")
    return table


def _plain_settings(table: Mapping[str, object]) -> Mapping[str, str]:
    known = [setting.key for setting in SETTINGS]
    return {key: str(value) for key, value in table.items() if key in known}


def read_env_file(path: Path) -> Mapping[str, str]:
    """KEY=VALUE lines as the earlier program wrote them (H-295); never exported to children."""
    text = _read_text(path)
    values: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, separator, value = line.strip().partition("=")
        key, value = key.strip().removeprefix("export ").strip(), value.strip()
        if not separator or not key or key.startswith("#"):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if value:
            values[key] = value
    return values


def _read_text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes; this is no config file")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; correct or remove it") from None


def _system_timezone() -> str:
    """The machine's zone by its usual link, else UTC (H-301)."""
    try:
        target = Path("/etc/localtime").readlink()
        name = str(target).split("zoneinfo/", 1)[1]
        ZoneInfo(name)
    except (OSError, IndexError, ValueError, LookupError):
        return "UTC"
    return name
