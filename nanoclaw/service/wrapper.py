"""No service manager: a script that starts the host in the background, and signals.

Used by ``actions`` through ``manager``, on WSL without systemd and in shells without a user
session. Which process is the host is asked of the lock of its home, never of a file of numbers.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.paths import HostPaths
from nanoclaw.service.files import read_bytes
from nanoclaw.service.kinds import Kind, ManagerState, ServiceError
from nanoclaw.service.shell import Shell
from nanoclaw.service.spec import STOP_SECONDS, ServiceSpec, wrapper_text
from nanoclaw.supervise.instance import running_host_pid

SCRIPT, PID_FILE = "start-nanoclaw.sh", "nanoclaw.pid"
POLL_SECONDS = 0.1
AT_BOOT = (
    "nothing starts the host at boot or after a crash here; run start-nanoclaw.sh from your "
    "shell's profile or from cron's @reboot"
)
WSL_ADVICE = (
    "WSL can run systemd: put `[boot]` and `systemd=true` into /etc/wsl.conf, run "
    "`wsl --shutdown` in Windows, then `nanoclaw service install` again"
)


@dataclass(slots=True)
class Wrapper:
    """The script of one home."""

    spec: ServiceSpec
    shell: Shell
    is_wsl: bool = False
    mode: int = 0o755
    kind: Kind = Kind.NOHUP
    name: str = SCRIPT
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.spec.home / SCRIPT

    def content(self) -> bytes:
        return wrapper_text(self.spec).encode()

    def plan(self) -> list[str]:
        return [str(self.file)]

    def load(self) -> list[str]:
        self.restart()
        return [AT_BOOT, *([WSL_ADVICE] if self.is_wsl else [])]

    def unload(self) -> list[str]:
        self.stop()
        return []

    def forget(self) -> None:
        (self.spec.home / PID_FILE).unlink(missing_ok=True)

    def start(self) -> None:
        if self._pid() is not None:
            return
        done = self.shell.run(str(self.file))
        if not done.ok:
            raise ServiceError(f"{self.file} failed: {done.reason}")

    def stop(self) -> None:
        stop_host(HostPaths(self.spec.home), STOP_SECONDS)
        self.forget()

    def restart(self) -> None:
        self.stop()
        self.start()

    def state(self) -> ManagerState:
        pid = self._pid()
        text = "started by the script" if pid is not None else "not running"
        died = pid is None and self._has_died()
        return ManagerState(self.file.exists(), pid is not None, failed=died, text=text, pid=pid)

    def linger(self) -> bool | None:
        return None

    def _has_died(self) -> bool:
        """Whether the process that the script started last has gone by itself."""
        number = (read_bytes(self.spec.home / PID_FILE) or b"").strip()
        if not number.isdigit():
            return False
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False

    def _pid(self) -> int | None:
        return running_host_pid(HostPaths(self.spec.home))


def stop_host(paths: HostPaths, seconds: float) -> bool:
    """Ends the host of this home: TERM, and KILL when its time is over. Whether there was one."""
    pid = running_host_pid(paths)
    if not pid:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if running_host_pid(paths) != pid:
                return True
            time.sleep(POLL_SECONDS)
    raise ServiceError(f"process {pid} of {paths.home} does not end; look with `ps -p {pid}`")
