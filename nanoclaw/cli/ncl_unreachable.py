"""What ``ncl`` says when nobody listens on the socket: how to start the host that is meant (N-29).

``find_service`` looks which kind of service was installed for this home; the rest is pure. Names
carry the slug of the home, because several installations live on one machine.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote

from nanoclaw.paths import HostPaths

UNIT = "nanoclaw-v2-{slug}"
LABEL = "com.nanoclaw-v2-{slug}"
SYSTEM_UNITS = Path("/etc/systemd/system")
USER_UNITS = Path(".config/systemd/user")
START_SCRIPT = "start-nanoclaw.sh"


class Service(StrEnum):
    """Who starts the host."""

    LAUNCHD = "launchd"
    SYSTEMD_USER = "systemd-user"
    SYSTEMD_SYSTEM = "systemd-system"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """``problem`` is the operating system's own text. ``has_data``: there is a database."""

    home: Path
    slug: str
    problem: str
    service: Service
    has_data: bool


def look_around(paths: HostPaths, problem: str, user_home: Path) -> Unreachable:
    service = find_service(paths, sys.platform, user_home, SYSTEM_UNITS)
    return Unreachable(paths.home, paths.slug, problem, service, paths.central_db.exists())


def find_service(paths: HostPaths, platform: str, user_home: Path, system_units: Path) -> Service:
    """What is installed; where nothing is, what an installation would bring."""
    if platform == "darwin":
        return Service.LAUNCHD
    unit = UNIT.format(slug=paths.slug) + ".service"
    if (user_home / USER_UNITS / unit).exists():
        return Service.SYSTEMD_USER
    if (system_units / unit).exists():
        return Service.SYSTEMD_SYSTEM
    if (paths.home / START_SCRIPT).exists():
        return Service.SCRIPT
    return Service.SYSTEMD_USER


def unreachable_text(found: Unreachable) -> str:
    lines = [f"ncl: cannot reach the host: {found.problem}"]
    if not found.has_data:
        lines.append(
            f"There is no installation in {found.home}; name yours with --home or NANOCLAW_HOME."
        )
    lines += [
        "Is the host running? Start it in the foreground with:",
        f"  nanoclaw run --home {quote(str(found.home))}",
        "or restart its service with:",
        f"  {restart_command(found)}",
    ]
    if found.has_data:
        lines.append("Lists can also be read without it: ncl --offline RESOURCE list")
    return "\n".join(lines)


def restart_command(found: Unreachable) -> str:
    match found.service:
        case Service.LAUNCHD:
            return f"launchctl kickstart -k gui/$(id -u)/{LABEL.format(slug=found.slug)}"
        case Service.SYSTEMD_USER:
            return f"systemctl --user restart {UNIT.format(slug=found.slug)}"
        case Service.SYSTEMD_SYSTEM:
            return f"sudo systemctl restart {UNIT.format(slug=found.slug)}"
        case Service.SCRIPT:
            return quote(str(found.home / START_SCRIPT))
