"""Which service manager this machine and this user have, and the one that was chosen before.

Used by ``actions``. The kind that was installed is written down (S-139), because what looks best
may change from one shell to the next: under ``su`` there is no user session.
"""

import json
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.paths import HostPaths
from nanoclaw.service.kinds import Kind, ServiceError
from nanoclaw.service.launchd import Launchd
from nanoclaw.service.manager import Manager
from nanoclaw.service.shell import Shell
from nanoclaw.service.spec import ServiceSpec
from nanoclaw.service.systemd import Systemd
from nanoclaw.service.wrapper import Wrapper

SHARED_FOLDERS = ("/tmp/", "/var/tmp/")  # noqa: S108  recognised, never written to
MAX_RECORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice depends on; tests put in their own."""

    shell: Shell
    user_home: Path
    is_root: bool
    platform: str
    systemd_runs: bool
    is_wsl: bool


def this_machine(environment: Mapping[str, str]) -> Machine:
    """The password file names the user's folder: HOME may still be somebody else's after su."""
    try:
        user_home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        user_home = Path(environment.get("HOME", "/"))
    return Machine(
        shell=Shell(environment),
        user_home=user_home,
        is_root=os.getuid() == 0,
        platform=sys.platform,
        systemd_runs=Path("/run/systemd/system").is_dir(),
        is_wsl="microsoft" in _read(Path("/proc/version")).lower(),
    )


def choose_kind(machine: Machine) -> Kind:
    """S-128, S-138: the user's own systemd only where it answers."""
    if machine.platform == "darwin":
        return Kind.LAUNCHD
    if not machine.platform.startswith("linux"):
        raise ServiceError(
            f"no kind of service is known for {machine.platform}; run `nanoclaw run` yourself, or "
            "choose with --kind nohup"
        )
    if not machine.systemd_runs:
        return Kind.NOHUP
    if machine.is_root:
        return Kind.SYSTEMD_SYSTEM
    answers = machine.shell.run("systemctl", "--user", "daemon-reload").ok
    return Kind.SYSTEMD_USER if answers else Kind.NOHUP


def make_spec(paths: HostPaths, program: Sequence[str], machine: Machine) -> ServiceSpec:
    """Sockets that had to move below /tmp must be the same ones for everybody."""
    places = (f"{paths.home}/", f"{paths.socket('router')}", f"{paths.doors}/")
    return ServiceSpec(
        program=tuple(_absolute(word) for word in program),
        home=paths.home,
        user_home=machine.user_home,
        slug=paths.slug,
        shared_tmp=any(place.startswith(SHARED_FOLDERS) for place in places),
    )


def make_manager(kind: Kind, spec: ServiceSpec, machine: Machine) -> Manager:
    if kind is Kind.LAUNCHD:
        return Launchd(spec, machine.shell)
    if kind is Kind.NOHUP:
        return Wrapper(spec, machine.shell, machine.is_wsl)
    return Systemd(spec, machine.shell, system=kind is Kind.SYSTEMD_SYSTEM)


def _absolute(word: str) -> str:
    return str(Path(word).absolute()) if "/" in word else word


def record_file(paths: HostPaths) -> Path:
    return paths.data / "service.json"


def recorded_kind(paths: HostPaths) -> Kind | None:
    """The kind that is installed for this home, as far as we know."""
    try:
        table = json.loads(_read(record_file(paths)))
        return Kind(table["kind"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_RECORD_BYTES).decode(errors="replace")
    except OSError:
        return ""
