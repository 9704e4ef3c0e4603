"""The container engine, the image, and the way from agents to the vault."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from contract.clock import parse_text
from nanoclaw.config import Runtime
from nanoclaw.containers.engine_ping import OLDEST_API, version_pair
from nanoclaw.containers.network import network_file, read_network
from nanoclaw.containers.recipe import read_recipe
from nanoclaw.containers.spec import INSTALL_LABEL, SESSION_LABEL
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts
from nanoclaw.errors import ContainerError

GIB = 1 << 30
LEAST_ENGINE_DISK = 5 * GIB
LARGE_IMAGE = 6 * GIB
OLD_DAYS = 90
SLOW_DRIVERS = ("vfs", "devicemapper", "aufs")


def _socket(facts: Facts) -> Path | None:
    address = facts.config.docker_host
    return Path(address.removeprefix("unix://")) if address.startswith("unix://") else None


def _reachable(facts: Facts) -> Finding | None:
    problem = facts.engine_problem
    if problem is None:
        return None
    return Finding(problem, "No agent can start; messages wait.", "sudo systemctl start docker")


def _permission(facts: Facts) -> Finding | None:
    path = _socket(facts)
    if facts.config.runtime is Runtime.PROCESS or path is None or not path.exists():
        return None
    if facts.may_use(path):
        return None
    return Finding(f"{path} is closed to user id {facts.machine.uid}",
                   "The engine runs, but not for you.",
                   "sudo usermod -aG docker $USER && newgrp docker")  # fmt: skip


def _version(facts: Facts) -> Finding | None:
    version = str(facts.engine_object("/version").get("ApiVersion", ""))
    if not version or version_pair(version) >= OLDEST_API:
        return None
    return Finding(f"the engine speaks version {version} of the interface",
                   "Docker 20.10 or newer is needed.",
                   "sudo apt-get install --only-upgrade docker-ce")  # fmt: skip


def _cgroup(facts: Facts) -> Finding | None:
    version = str(facts.engine_info.get("CgroupVersion", "2"))
    if version == "2":
        return None
    return Finding(f"the engine uses cgroup version {version}",
                   "Limits of memory and processors hold less well.",
                   "add systemd.unified_cgroup_hierarchy=1 to the kernel's line and reboot",
                   by_hand=True)  # fmt: skip


def _seccomp(facts: Facts) -> Finding | None:
    options = facts.engine_info.get("SecurityOptions") or []
    if any("seccomp" in str(option) for option in options):
        return None
    return Finding("the engine has no seccomp", "Agents may use every call of the kernel.",
                   "use an engine and a kernel with seccomp", by_hand=True)  # fmt: skip


def _limits(facts: Facts) -> Finding | None:
    names = ("MemoryLimit", "PidsLimit", "CpuCfsQuota")
    missing = [name for name in names if facts.engine_info.get(name) is False]
    if not missing:
        return None
    return Finding(
        f"the engine cannot hold {', '.join(missing)}",
        "One agent can take the whole machine.",
        "switch the cgroup controllers on in the kernel's line",
        by_hand=True,
    )


def _storage(facts: Facts) -> Finding | None:
    driver = str(facts.engine_info.get("Driver", ""))
    if driver not in SLOW_DRIVERS:
        return None
    return Finding(
        f"the engine stores with {driver}",
        "Each container is a whole copy of the image.",
        'set "storage-driver": "overlay2" in /etc/docker/daemon.json',
        by_hand=True,
    )


def _engine_disk(facts: Facts) -> Finding | None:
    root = Path(str(facts.engine_info.get("DockerRootDir", "")) or "/")
    if not root.is_dir():
        raise CannotLookError("the engine's data is not on this machine")
    free = facts.free_bytes(root)
    if free >= LEAST_ENGINE_DISK:
        return None
    return Finding(f"{free >> 20} MiB left below {root}", "The next build of an image fails.",
                   "docker image prune --force")  # fmt: skip


def _rootless(facts: Facts) -> Finding | None:
    options = facts.engine_info.get("SecurityOptions") or []
    if not any("rootless" in str(option) for option in options):
        return None
    return Finding("the engine runs without root",
                   "Good for safety; it stops when you log out, unless lingering is on.",
                   "sudo loginctl enable-linger $USER")  # fmt: skip


def _no_sandbox(facts: Facts) -> Finding | None:
    if facts.config.runtime is not Runtime.PROCESS:
        return None
    return Finding('runtime = "process"', "Agents run as you, with all your files: no sandbox.",
                   'runtime = "docker" in config.toml', by_hand=True)  # fmt: skip


def _image(facts: Facts) -> Mapping[str, Any]:
    """Empty: it is not there."""
    if facts.config.image:
        return facts.engine_object(f"/images/{quote(facts.config.image)}/json")
    try:
        label = read_recipe(facts.config).label
    except ContainerError as error:
        raise CannotLookError(str(error)) from error
    listed = facts.engine_list(f"/images/json?filters={quote(json.dumps({'label': [label]}))}")
    return listed[0] if listed else {}


def _image_there(facts: Facts) -> Finding | None:
    if _image(facts):
        return None
    return Finding("no image of this version", "The first message waits while it is built.",
                   facts.command("image build"))  # fmt: skip


def _image_age(facts: Facts) -> Finding | None:
    created = _image(facts).get("Created")
    text = parse_text(created) if isinstance(created, str) else None
    at = text.timestamp() if text else float(created) if isinstance(created, int) else None
    days = 0 if at is None else int((facts.now.timestamp() - at) // 86400)
    if days <= OLD_DAYS:
        return None
    return Finding(f"the image is {days} days old",
                   "Its system lacks the corrections of that time.",
                   facts.command("image build"))  # fmt: skip


def _image_size(facts: Facts) -> Finding | None:
    size = _image(facts).get("Size")
    if not isinstance(size, int) or size <= LARGE_IMAGE:
        return None
    return Finding(f"the image has {size / GIB:.1f} GiB", "Builds and starts take long.",
                   "browser = false in config.toml if no agent browses", by_hand=True)  # fmt: skip


def _stray(facts: Facts) -> Finding | None:
    label = f"{INSTALL_LABEL}={facts.paths.slug}"
    filters = quote(json.dumps({"label": [label]}))
    listed = facts.engine_list(f"/containers/json?all=1&filters={filters}")
    known = {str(row[0]) for row in facts.ask_central("sessions")}
    found = [str(entry.get("Id", ""))[:12] for entry in listed
             if SESSION_LABEL in (entry.get("Labels") or {})
             and entry["Labels"][SESSION_LABEL] not in known]  # fmt: skip
    if not found:
        return None
    return Finding(f"{len(found)} containers of sessions that are gone",
                   "They take memory and disk, and nobody talks to them.",
                   f"docker rm --force {' '.join(found)}")  # fmt: skip


def _network(facts: Facts) -> Finding | None:
    known = read_network(facts.paths)
    path = network_file(facts.paths)
    if known is None:
        if not path.exists():
            return None
        evidence = f"{path} makes no sense"
    elif known.setting != str(facts.config.network) or known.engine != facts.config.docker_host:
        evidence = f"the way to the vault was found out for {known.engine} ({known.setting})"
    else:
        return None
    return Finding(evidence, "Agents may not reach the vault; it is found out anew without it.",
                   f"rm {shlex.quote(str(path))}")  # fmt: skip


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("engine-answers", "engine", _E, "the engine answers", _reachable),
    Check("engine-permission", "engine", _E, "you may use the engine", _permission),
    Check("engine-version", "engine", _E, "the engine is new enough", _version),
    Check("engine-cgroup", "engine", _W, "the engine uses cgroup 2", _cgroup),
    Check("engine-seccomp", "engine", _W, "the engine has seccomp", _seccomp),
    Check("engine-limits", "engine", _W, "the engine holds limits", _limits),
    Check("engine-storage", "engine", _W, "the engine stores in layers", _storage),
    Check("engine-disk", "engine", _W, "the engine has room", _engine_disk),
    Check("engine-rootless", "engine", _N, "the engine outlives your login", _rootless),
    Check("engine-sandbox", "engine", _W, "agents run in a sandbox", _no_sandbox),
    Check("engine-strays", "engine", _W, "each container has a session", _stray),
    Check("image-there", "image", _W, "the image is built", _image_there),
    Check("image-age", "image", _N, "the image is recent", _image_age),
    Check("image-size", "image", _N, "the image has a usual size", _image_size),
    Check("network-way", "network", _W, "the way to the vault fits the engine", _network),
)
