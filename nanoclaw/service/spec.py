"""The text of unit file, property list and wrapper script. Pure.

Called by the managers of this package. Every value from outside is escaped for the place where it
stands (S-126): systemd's words, its specifiers and its unquoted lines, XML, and the shell. What
cannot be written in a unit file at all is refused, never mangled. docs/service.md gives the reason
for each hardening option, and for those that are missing.
"""

import plistlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.service.kinds import ServiceError

WATCHDOG_SECONDS = 60
START_SECONDS = 900
"""A migration of a large database comes before the host is ready."""
STOP_SECONDS = 60
"""The sweep has 20, and three phases follow each other."""
RESTART_SECONDS = 5
PATH_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
COMMON_HARDENING = (
    "NoNewPrivileges=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "UMask=0077",
    "LimitNOFILE=65536",
)
SYSTEM_HARDENING = (
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """``program`` are the words that start nanoclaw, without the command. ``shared_tmp``: sockets
    or the home are below /tmp, so the service must see the same one as everybody else."""

    program: tuple[str, ...]
    home: Path
    user_home: Path
    slug: str
    shared_tmp: bool = False

    @property
    def unit(self) -> str:
        return f"nanoclaw-v2-{self.slug}.service"

    @property
    def label(self) -> str:
        return f"com.nanoclaw-v2-{self.slug}"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "nanoclaw.log"

    @property
    def error_log(self) -> Path:
        return self.home / "logs" / "nanoclaw.error.log"


def unit_text(spec: ServiceSpec, *, system: bool) -> str:
    """A systemd unit; the keys of S-129 in their order, then ours."""
    command = " ".join(systemd_word(word, command=True) for word in (*spec.program, "run"))
    path = ":".join((*PATH_FOLDERS, str(spec.user_home / ".local" / "bin")))
    after = "network-online.target docker.service" if system else "network.target"
    lines = ["[Unit]", f"Description=NanoClaw {spec.slug}", f"After={after}"]
    if system:
        lines.append("Wants=network-online.target")
    lines += [
        "StartLimitIntervalSec=3600",
        "StartLimitBurst=60",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={command}",
        f"WorkingDirectory={systemd_line(spec.home)}",
        "Restart=always",
        f"RestartSec={RESTART_SECONDS}",
        "KillMode=process",
        f"Environment={systemd_word(f'HOME={spec.user_home}')}",
        f"Environment={systemd_word(f'PATH={path}')}",
        f"Environment={systemd_word(f'NANOCLAW_HOME={spec.home}')}",
        "Environment=PYTHONUNBUFFERED=1",
        f"StandardOutput=append:{systemd_line(spec.log)}",
        f"StandardError=append:{systemd_line(spec.error_log)}",
        "RestartPreventExitStatus=78",
        f"WatchdogSec={WATCHDOG_SECONDS}",
        f"TimeoutStartSec={START_SECONDS}",
        f"TimeoutStopSec={STOP_SECONDS}",
        *COMMON_HARDENING,
        *(_system_hardening(spec) if system else ()),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if system else 'default.target'}",
        "",
    ]
    return "\n".join(lines)


def _system_hardening(spec: ServiceSpec) -> list[str]:
    writable = systemd_word(str(spec.home))
    if spec.shared_tmp:
        writable += " /tmp /var/tmp"
    return [
        *SYSTEM_HARDENING,
        "ProtectSystem=strict",
        f"ReadWritePaths={writable}",
        f"PrivateTmp={'no' if spec.shared_tmp else 'yes'}",
    ]


def systemd_word(text: str, *, command: bool = False) -> str:
    """One word of a list, quoted; ``command``: of ExecStart, where dollars mean variables too."""
    _refuse_unwritable(text)
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if command:
        text = text.replace("$", "$$")
    return f'"{text}"'


def systemd_line(path: Path) -> str:
    """A path that takes the rest of its line: there quotes would belong to the name."""
    text = str(path)
    _refuse_unwritable(text)
    if text != text.strip() or text.endswith("\\"):
        raise ServiceError(
            f"{text!r} cannot be named in a unit file because of its last or first letter; "
            "choose another folder with --home"
        )
    return text.replace("%", "%%")


def _refuse_unwritable(text: str) -> None:
    if not text.isprintable():
        raise ServiceError(
            f"{text!r} has letters that no unit file can hold; choose another folder with --home"
        )


def plist_bytes(spec: ServiceSpec) -> bytes:
    """A property list for launchd (S-134)."""
    for word in (*spec.program, str(spec.home), str(spec.user_home)):
        _refuse_unwritable(word)
    folders = ("/opt/homebrew/bin", *PATH_FOLDERS, str(spec.user_home / ".local" / "bin"))
    table = {
        "Label": spec.label,
        "ProgramArguments": [*spec.program, "run"],
        "WorkingDirectory": str(spec.home),
        "RunAtLoad": True,
        "KeepAlive": True,
        "EnvironmentVariables": {
            "PATH": ":".join(folders),
            "HOME": str(spec.user_home),
            "NANOCLAW_HOME": str(spec.home),
        },
        "StandardOutPath": str(spec.log),
        "StandardErrorPath": str(spec.error_log),
    }
    return plistlib.dumps(table, sort_keys=False)


def wrapper_text(spec: ServiceSpec) -> str:
    """``start-nanoclaw.sh`` (S-136). It stops only a process whose command line is this host's:
    after a restart of the machine the number in the file may be somebody else's."""
    _refuse_unwritable(str(spec.home))
    program = " ".join(shlex.quote(word) for word in spec.program)
    wanted = shlex.quote(" ".join((*spec.program, "run")))
    log, error_log = shlex.quote(str(spec.log)), shlex.quote(str(spec.error_log))
    return f"""#!/usr/bin/env bash
# Written by `nanoclaw service install`; starts the host where there is no service manager.
set -euo pipefail
umask 077
cd -- {shlex.quote(str(spec.home))}
wanted={wanted}
if [ -f nanoclaw.pid ]; then
  old=$(cat nanoclaw.pid)
  if [[ "$old" =~ ^[0-9]+$ ]] && [ "$(ps -p "$old" -o args= 2>/dev/null)" = "$wanted" ]; then
    kill -TERM "$old" 2>/dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      kill -0 "$old" 2>/dev/null || break
      sleep 0.1
    done
  fi
fi
export NANOCLAW_HOME={shlex.quote(str(spec.home))} PYTHONUNBUFFERED=1
nohup {program} run >>{log} 2>>{error_log} </dev/null &
echo $! >nanoclaw.pid
echo "NanoClaw started (pid $!)"
echo "Follow it with: tail -f "{log}
"""
