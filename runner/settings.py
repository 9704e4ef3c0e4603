"""What this start of the runner was told: folders, lease, provider, limits.

Read once, by ``program``, from ``session.json`` and ``container.json``. The provider is
the one of ``session.json``, because the host has resolved the session's override there (R-10).
Without a usable ``session.json`` there is no lease and nothing may be claimed.
"""

from dataclasses import dataclass
from pathlib import Path

from contract.config import (
    MAX_CONFIG_BYTES,
    RunnerConfig,
    SessionConfig,
    parse_runner_config,
    parse_session_config,
)
from contract.errors import BadContent
from contract.layout import RunnerPaths
from runner.errors import ConfigError

_NOTICE = (
    "The agent cannot start: its session settings are not usable. "
    "Whoever runs this installation has to look at the log."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """``problems`` were found in container.json and are worth one log line each (R-9)."""

    paths: RunnerPaths
    session: SessionConfig
    config: RunnerConfig
    problems: tuple[str, ...] = ()

    @property
    def idle_exit_seconds(self) -> float:
        """0: never (R-94)."""
        if self.config.idle_exit_seconds is not None:
            return self.config.idle_exit_seconds
        return self.session.idle_exit_seconds

    @property
    def provider(self) -> str:
        return self.session.provider.strip().lower()


def read_settings(paths: RunnerPaths) -> Settings:
    """Raises ConfigError when there is no valid session.json; container.json may be missing."""
    try:
        session = parse_session_config(_read(paths.session_json))
    except (OSError, UnicodeDecodeError, BadContent) as error:
        raise ConfigError(f"session.json is not usable: {error}", _NOTICE) from error
    try:
        read = parse_runner_config(_read(paths.container_json))
    except FileNotFoundError:
        return Settings(paths, session, RunnerConfig(), ("container.json is missing",))
    except (OSError, UnicodeDecodeError) as error:
        return Settings(paths, session, RunnerConfig(), (f"container.json: {error}",))
    return Settings(paths, session, read.config, read.problems)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_CONFIG_BYTES + 1).decode()
