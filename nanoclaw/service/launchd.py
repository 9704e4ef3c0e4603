"""launchd of macOS.

Used by ``actions`` through ``manager``. A cached definition would stay in force, so an old one is
always taken out before the new one goes in (S-135).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.service.kinds import Kind, ManagerState, ServiceError
from nanoclaw.service.shell import Shell
from nanoclaw.service.spec import ServiceSpec, plist_bytes

AGENTS_FOLDER = Path("Library/LaunchAgents")
WAIT_SECONDS = 90.0


@dataclass(slots=True)
class Launchd:
    """One agent of the user's session."""

    spec: ServiceSpec
    shell: Shell
    mode: int = 0o644
    kind: Kind = Kind.LAUNCHD
    name: str = field(init=False)
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.spec.label
        self.file = self.spec.user_home / AGENTS_FOLDER / f"{self.name}.plist"

    @property
    def _domain(self) -> str:
        return f"gui/{self.shell.uid}"

    @property
    def _target(self) -> str:
        return f"{self._domain}/{self.name}"

    def content(self) -> bytes:
        return plist_bytes(self.spec)

    def plan(self) -> list[str]:
        return [
            f"launchctl bootout {self._target}",
            f"launchctl bootstrap {self._domain} {self.file}",
        ]

    def load(self) -> list[str]:
        self._take_out()
        done = self.shell.run("launchctl", "bootstrap", self._domain, str(self.file))
        if not done.ok:
            done = self.shell.run("launchctl", "load", str(self.file))
        if not done.ok or not self._is_listed():
            raise ServiceError(f"launchd does not take {self.file}: {done.reason}")
        return []

    def unload(self) -> list[str]:
        self._take_out()
        if self._is_listed():
            raise ServiceError(f"launchd keeps {self.name}; try: launchctl bootout {self._target}")
        return []

    def forget(self) -> None:
        pass

    def start(self) -> None:
        if self._is_listed():
            self._must("kickstart", self._target)
        else:
            self.load()

    def stop(self) -> None:
        # KeepAlive would start it again at once, so a stopped service is one that is not loaded.
        self._take_out()

    def restart(self) -> None:
        self._take_out()
        self.load()

    def state(self) -> ManagerState:
        installed = self.file.exists()
        shown = self.shell.run("launchctl", "print", self._target)
        if not shown.ok:
            return ManagerState(installed, active=False, text="not loaded")
        state, runs = parse_print(shown.out)
        pid = re.search(r"^\s*pid = (\d+)", shown.out, re.MULTILINE)
        code = re.search(r"^\s*last exit code = (.+)$", shown.out, re.MULTILINE)
        return ManagerState(
            installed, active=state == "running", text=state,
            pid=int(pid[1]) if pid else None, restarts=max(runs - 1, 0),
            last_exit=code[1].strip() if code else "",
        )  # fmt: skip

    def linger(self) -> bool | None:
        return None

    def _take_out(self) -> None:
        if not self.shell.run("launchctl", "bootout", self._target, seconds=WAIT_SECONDS).ok:
            self.shell.run("launchctl", "unload", str(self.file), seconds=WAIT_SECONDS)

    def _is_listed(self) -> bool:
        listed = self.shell.run("launchctl", "list")
        return any(line.split()[-1:] == [self.name] for line in listed.out.splitlines())

    def _must(self, *words: str) -> None:
        done = self.shell.run("launchctl", *words)
        if not done.ok:
            raise ServiceError(f"`launchctl {' '.join(words)}` failed: {done.reason}")


def parse_print(text: str) -> tuple[str, int]:
    """State and number of runs, out of ``launchctl print`` (S-143)."""
    state = re.search(r"^\s*state = (.+)$", text, re.MULTILINE)
    runs = re.search(r"^\s*runs = (\d+)", text, re.MULTILINE)
    return (state[1].strip() if state else "unknown", int(runs[1]) if runs else 0)
