"""Decides how an agent's container is made: mounts, user, limits, environment, labels.

Pure; called by ``sweep.starter``, carried out by a runtime. Everything that keeps an agent inside
stands here and in ``docker_body``. Nothing is ever mounted inside a writable mount, because a
nested read-only file falls off when the host replaces it (design section 3).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.config import SessionLimits
from nanoclaw.errors import ConfigError
from nanoclaw.model import AgentGroup, ContainerConfig, Session

INSTALL_LABEL = "nanoclaw-install"
"""H-155; the others follow its pattern."""
GROUP_LABEL = "nanoclaw-group"
SESSION_LABEL = "nanoclaw-session"
RUNTIME_LABEL = "nanoclaw-runtime"
LEASE_LABEL = "nanoclaw-lease"
COMPILER_LABEL = "nanoclaw-compiler"
"""Of the short-lived container that compiles our code; it is no agent's."""

IMAGE_USER_ID = 1000
"""The user of the image, for hosts that run as root."""
MIB = 1024 * 1024
DEFAULT_MEMORY_MB = 2048
DEFAULT_CPUS = 2.0
DEFAULT_PIDS = 512
DEFAULT_DISK_MB = 4096
DEFAULT_FILE_BYTES = 1024 * MIB
OPEN_FILES = 4096
TMP_BYTES = 256 * MIB
RUN_BYTES = 16 * MIB
STOP_SECONDS = 10
"""The runner needs up to eight for an orderly end (R-4)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UserMapping:
    """Whom the agent runs as, and to whom its folders must belong for that."""

    uid: int
    gid: int
    hand_over: bool
    """The host is root and gives the agent's folders to ``uid``; else they are its own."""


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """A folder in memory. Programs may be started from it only where agents need that."""

    target: str
    size_bytes: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Limits:
    memory_bytes: int
    cpus: float
    pids: int
    file_bytes: int
    disk_bytes: int
    open_files: int = OPEN_FILES


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything a runtime needs to know; two equal ones give two equal containers."""

    name: str
    image: str
    user: UserMapping
    environment: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[Tmpfs, ...]
    labels: tuple[tuple[str, str], ...]
    limits: Limits
    log_file: Path
    extra_mounts: tuple[Mount, ...] = ()
    """Folders of the operator's own: never handed over, never counted."""
    stop_seconds: int = STOP_SECONDS

    def source_of(self, target: str) -> Path | None:
        """The host's folder behind a mount point."""
        return next((mount.source for mount in self.mounts if mount.target == target), None)


@dataclass(frozen=True, slots=True)
class Folders:
    """The host's side of every mount. None: there is none."""

    in_dir: Path
    out_dir: Path
    group: Path
    home: Path
    app: Path
    log_file: Path
    global_dir: Path | None = None
    door: Path | None = None


@dataclass(frozen=True, slots=True)
class SpecFacts:
    """What one start of one container is made from."""

    slug: str
    session: Session
    group: AgentGroup
    config: ContainerConfig
    image: str
    """The group's own or that of all, as ``group_image.choose_image`` says."""
    lease: int
    runtime_version: str
    folders: Folders
    user: UserMapping
    timezone: str
    passed_on: tuple[tuple[str, str], ...] = ()
    """Variables of the host that a runner must see too, for tests and diagnosis."""
    extra_mounts: tuple[Mount, ...] = ()


def decide_user(host_uid: int, host_gid: int) -> UserMapping:
    """Root never runs an agent: it hands the folders to the image's user (H-187, W-57)."""
    if host_uid == 0:
        return UserMapping(IMAGE_USER_ID, IMAGE_USER_ID, hand_over=True)
    return UserMapping(host_uid, host_gid, hand_over=False)


def decide_limits(config: ContainerConfig) -> Limits:
    """The group's own limits, and ours where it has none."""
    return Limits(
        memory_bytes=(config.memory_mb or DEFAULT_MEMORY_MB) * MIB,
        cpus=config.cpus or DEFAULT_CPUS,
        pids=config.pids_limit or DEFAULT_PIDS,
        file_bytes=DEFAULT_FILE_BYTES,
        disk_bytes=(config.disk_mb or DEFAULT_DISK_MB) * MIB,
    )


def session_limits(limits: Limits, config: ContainerConfig) -> SessionLimits:
    """The part that the runner keeps itself to."""
    return SessionLimits(
        file_bytes=limits.file_bytes,
        disk_bytes=limits.disk_bytes,
        turn_seconds=config.max_turn_seconds,
    )


def container_name(slug: str, session_id: str) -> str:
    """Fixed per session, so that a second container for it collides (W-34).

    Raises ConfigError for what is no name, before any runtime hears of it (H-157).
    """
    name = f"nanoclaw-{slug}-{session_id}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"session id {session_id[:100]!r} cannot be part of a container's name")
    return name


def build_spec(facts: SpecFacts) -> ContainerSpec:
    """The container of one session."""
    limits = decide_limits(facts.config)
    return ContainerSpec(
        name=container_name(facts.slug, facts.session.id),
        image=facts.image,
        user=facts.user,
        environment=_environment(facts),
        mounts=_mounts(facts.folders),
        tmpfs=(
            Tmpfs("/tmp", _tmp_bytes(limits), executable=True),  # noqa: S108  inside the container
            Tmpfs("/run", RUN_BYTES, executable=False),
        ),
        labels=(
            (INSTALL_LABEL, facts.slug),
            (GROUP_LABEL, facts.group.id),
            (SESSION_LABEL, facts.session.id),
            (RUNTIME_LABEL, facts.runtime_version),
            (LEASE_LABEL, str(facts.lease)),
        ),
        limits=limits,
        log_file=facts.folders.log_file,
        extra_mounts=facts.extra_mounts,
    )


def _tmp_bytes(limits: Limits) -> int:
    """What lies there counts as the container's memory: a full folder alone must not kill it."""
    return min(TMP_BYTES, limits.memory_bytes // 4)


def _environment(facts: SpecFacts) -> tuple[tuple[str, str], ...]:
    """Nothing secret ever stands here: an agent can print its environment."""
    return (
        ("TZ", facts.timezone),
        ("HOME", layout.MOUNT_HOME),
        ("PYTHONPATH", layout.MOUNT_APP),
        *facts.passed_on,
    )


def _mounts(folders: Folders) -> tuple[Mount, ...]:
    mounts = [
        Mount(folders.app, layout.MOUNT_APP, read_only=True),
        Mount(folders.in_dir, layout.MOUNT_IN, read_only=True),
        Mount(folders.out_dir, layout.MOUNT_OUT, read_only=False),
        Mount(folders.group, layout.MOUNT_WORKSPACE, read_only=False),
        Mount(folders.home, layout.MOUNT_HOME, read_only=False),
    ]
    if folders.global_dir is not None:
        mounts.append(Mount(folders.global_dir, layout.MOUNT_GLOBAL, read_only=True))
    if folders.door is not None:
        mounts.append(Mount(folders.door, layout.MOUNT_DOOR, read_only=True))
    return tuple(mounts)
