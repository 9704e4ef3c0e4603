"""What checks look at: the home, its settings, the machine, the engine, the service.

Made once per run by ``nanoclaw doctor``; tests put other answers in. Everything that may be slow
is asked when the first check wants it, and once only, refusals too.
"""

import locale
import os
import resource
import shlex
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from platform import python_version_tuple
from typing import Any

from contract.clock import utc_now
from nanoclaw.config import HostConfig, Runtime, default_home, host_environment, load_config
from nanoclaw.containers.engine_ping import ask, ping
from nanoclaw.containers.runtime import EngineDown
from nanoclaw.db import health
from nanoclaw.errors import ConfigError, NanoclawError
from nanoclaw.paths import HostPaths
from nanoclaw.service.kinds import ServiceStatus
from nanoclaw.service.peers import Peer
from nanoclaw.supervise.instance import running_host_pid
from nanoclaw.supervise.status import HostStatus, read_status

WATCHES_FILE = Path("/proc/sys/fs/inotify/max_user_watches")


class CannotLookError(NanoclawError):
    """A check has nothing to look at; another one says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the program runs on."""

    python: tuple[int, int]
    sqlite: tuple[int, ...]
    fts5: bool
    memory_bytes: int
    cpus: int
    open_files: int
    watches: int | None
    encoding: str
    uid: int


@dataclass(frozen=True, slots=True)
class ServiceView:
    status: ServiceStatus
    peers: tuple[Peer, ...] = ()


def this_machine() -> Machine:
    major, minor, _ = python_version_tuple()
    return Machine(
        python=(int(major), int(minor)),
        sqlite=sqlite3.sqlite_version_info,
        fts5=health.has_fts5(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpus=os.cpu_count() or 1,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        watches=_number(WATCHES_FILE),
        encoding=locale.getpreferredencoding(do_setlocale=False),
        uid=os.getuid(),
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _service(facts: "Facts") -> ServiceView:
    from nanoclaw.launch import own_command
    from nanoclaw.service import actions
    from nanoclaw.service.peers import find_peers

    desk = actions.open_desk(facts.config, own_command(), host_environment(), lambda text: None)
    return ServiceView(actions.status(desk), tuple(find_peers(desk.spec, desk.machine)))


@dataclass
class Facts:
    """``config`` has the defaults where the settings cannot be read; ``broken`` then says why."""

    config: HostConfig
    broken: str = ""
    online: bool = False
    now: datetime = field(default_factory=utc_now)
    machine: Machine = field(default_factory=this_machine)
    look_at_service: Callable[["Facts"], ServiceView] = field(default=_service)
    may_use: Callable[[Path], bool] = field(default=lambda path: os.access(path, os.R_OK | os.W_OK))
    free_bytes: Callable[[Path], int] = field(default=_free_bytes)

    @property
    def paths(self) -> HostPaths:
        return self.config.paths

    def command(self, words: str) -> str:
        """``nanoclaw <words>`` for this home, ready for a shell."""
        if self.paths.home == default_home(host_environment()):
            return f"nanoclaw {words}"
        return f"nanoclaw {words} --home {shlex.quote(str(self.paths.home))}"

    @cached_property
    def host_pid(self) -> int | None:
        return running_host_pid(self.paths)

    @cached_property
    def status(self) -> HostStatus | None:
        """Only of a host that runs."""
        return read_status(self.paths.status_file) if self.host_pid is not None else None

    @cached_property
    def service(self) -> ServiceView:
        return self.look_at_service(self)

    def ask_central(self, question: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Raises CannotLookError when the database does not answer."""
        if not self.paths.central_db.is_file():
            raise CannotLookError("there is no database yet")
        try:
            return health.ask(self.paths.central_db, question, *parameters)
        except NanoclawError as error:
            raise CannotLookError(f"the database does not answer: {error}") from error

    @cached_property
    def _engine(self) -> str | None:
        """Why the engine cannot be asked; None: it can."""
        if self.config.runtime is Runtime.PROCESS:
            return "agents run without an engine here"
        try:
            ping(self.config.docker_host)
        except EngineDown as error:
            return str(error)
        return None

    @property
    def engine_problem(self) -> str | None:
        return None if self.config.runtime is Runtime.PROCESS else self._engine

    def engine_object(self, path: str) -> Mapping[str, Any]:
        """Empty: there is no such thing. Raises CannotLookError."""
        value = self._ask_engine(path)
        return value if isinstance(value, dict) else {}

    def engine_list(self, path: str) -> list[Mapping[str, Any]]:
        """Raises CannotLookError."""
        value = self._ask_engine(path)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def _ask_engine(self, path: str) -> object:
        if self._engine is not None:
            raise CannotLookError(self._engine)
        try:
            return ask(self.config.docker_host, path)
        except EngineDown as error:
            raise CannotLookError(str(error)) from error

    @cached_property
    def engine_info(self) -> Mapping[str, Any]:
        return self.engine_object("/info")


def read_facts(home: Path | None, *, online: bool = False) -> Facts:
    """Never fails for broken settings: that is a finding."""
    try:
        return Facts(load_config(home=home), online=online)
    except ConfigError as error:
        place = (home or default_home(host_environment())).expanduser().absolute()
        return Facts(HostConfig(place), broken=str(error), online=online)
