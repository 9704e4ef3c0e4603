"""systemd, the user's own or the system's.

Used by ``actions`` through ``manager``. No command here asks for a password: what needs other
rights fails, and its reason is shown (S-131, S-139).
"""

from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.service.kinds import Kind, ManagerState, ServiceError
from nanoclaw.service.shell import TIMED_OUT, Outcome, Shell
from nanoclaw.service.spec import ServiceSpec, unit_text

SYSTEM_FOLDER = Path("/etc/systemd/system")
USER_FOLDER = Path(".config/systemd/user")
WAIT_SECONDS = 90.0
"""For stop and restart: the unit's own limit is 60."""
PROPERTIES = (
    "LoadState,ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus,"
    "ActiveEnterTimestamp,StatusText"
)


@dataclass(slots=True)
class Systemd:
    """One unit."""

    spec: ServiceSpec
    shell: Shell
    system: bool
    system_folder: Path = SYSTEM_FOLDER
    mode: int = 0o644
    kind: Kind = field(init=False)
    name: str = field(init=False)
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.kind = Kind.SYSTEMD_SYSTEM if self.system else Kind.SYSTEMD_USER
        self.name = self.spec.unit
        folder = self.system_folder if self.system else self.spec.user_home / USER_FOLDER
        self.file = folder / self.name

    def content(self) -> bytes:
        return unit_text(self.spec, system=self.system).encode()

    def plan(self) -> list[str]:
        words = [["daemon-reload"], ["enable", self.name], ["restart", self.name]]
        commands = [" ".join(self._words(*w)) for w in words]
        return commands if self.system else ["loginctl enable-linger", *commands]

    def load(self) -> list[str]:
        notes = [] if self.system else self._enable_linger()
        self._must("daemon-reload")
        self._must("enable", self.name)
        self._begin("restart")
        return notes

    def unload(self) -> list[str]:
        done = self._ctl("disable", "--now", self.name, seconds=WAIT_SECONDS)
        self._ctl("reset-failed", self.name)
        if done.ok or "not loaded" in done.err or "does not exist" in done.err:
            return []
        raise ServiceError(f"cannot stop {self.name}: {done.reason}")

    def forget(self) -> None:
        self._ctl("daemon-reload")

    def start(self) -> None:
        self._begin("start")

    def stop(self) -> None:
        self._must("stop", self.name, seconds=WAIT_SECONDS)

    def restart(self) -> None:
        self._begin("restart")

    def state(self) -> ManagerState:
        shown = self._ctl("show", "--property=" + PROPERTIES, self.name)
        if not shown.ok:
            return ManagerState(self.file.exists(), active=False, text=shown.reason)
        facts = parse_properties(shown.out)
        active = facts.get("ActiveState", "inactive")
        pid, result = facts.get("MainPID", "0"), facts.get("Result", "")
        last = "" if result in ("", "success") else f"{result} {facts.get('ExecMainStatus', '')}"
        return ManagerState(
            installed=self.file.exists(),
            active=active == "active",
            failed=active == "failed",
            text=f"{active} ({facts.get('SubState', '')})",
            pid=int(pid) if pid.isdecimal() and pid != "0" else None,
            since=facts.get("ActiveEnterTimestamp", ""),
            restarts=_number(facts.get("NRestarts", "")),
            last_exit=last.strip(),
        )

    def linger(self) -> bool | None:
        if self.system:
            return None
        shown = self.shell.run("loginctl", "show-user", str(self.shell.uid), "-p", "Linger")
        return shown.out.strip() == "Linger=yes"

    def _enable_linger(self) -> list[str]:
        if not self.linger():
            self.shell.run("loginctl", "enable-linger")
        if self.linger():
            return []
        return [
            "the service ends with your last login and does not start at boot, because linger is "
            "off; turn it on with: sudo loginctl enable-linger $USER"
        ]

    def _begin(self, verb: str) -> None:
        """Returns when the host is ready, has failed, or takes long; ``actions`` sees which."""
        self._ctl("reset-failed", self.name)  # an earlier loop must not count against this start
        done = self._ctl(verb, self.name, seconds=WAIT_SECONDS)
        if not (done.ok or done.code == TIMED_OUT or "Job for" in done.err):
            raise ServiceError(f"`{' '.join(self._words(verb, self.name))}` failed: {done.reason}")

    def _words(self, *words: str) -> list[str]:
        return ["systemctl", *(() if self.system else ("--user",)), *words]

    def _ctl(self, *words: str, seconds: float = 30.0) -> Outcome:
        return self.shell.run(*self._words(*words), seconds=seconds)

    def _must(self, *words: str, seconds: float = 30.0) -> None:
        done = self._ctl(*words, seconds=seconds)
        if not done.ok:
            command = " ".join(self._words(*words))
            raise ServiceError(f"`{command}` failed: {done.reason}")


def parse_properties(text: str) -> dict[str, str]:
    """``Key=value`` lines of ``systemctl show``."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, separator, value in pairs if separator}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def docker_group_is_stale(shell: Shell, socket_path: Path, *, usable_here: bool) -> bool:
    """Whether this shell may use the engine and the user's service manager may not (S-131): it
    was started before the user joined the group."""
    if not usable_here:
        return False
    words = ("systemd-run", "--user", "--pipe", "--wait", "--quiet", "--collect")
    done = shell.run(*words, "test", "-w", str(socket_path), seconds=10)
    return done.code == 1


def stale_group_advice(socket_path: Path) -> str:
    return (
        "your service manager was started before you joined the docker group, so the service "
        "cannot use the engine yet. Log out everywhere and in again, or end all your sessions "
        "with `loginctl terminate-user $USER`. Until the engine restarts this helps too, and "
        "gives you what root may do: "
        f"sudo setfacl -m u:$USER:rw {socket_path}"
    )
