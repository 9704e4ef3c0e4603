"""A throw-away host as a real process, for integration tests.

Every process of its tree inherits a mark in its environment; ``stop`` ends by process id what
carries the mark, whatever became of the tree, so that no test leaves anything running.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from helpers.waiting import wait_until

from nanoclaw.paths import HostPaths
from nanoclaw.supervise.status import ChildStatus, HostStatus, read_status

ROOT = Path(__file__).parent.parent.parent
MARK = "NANOCLAW_TEST_HOST"
COMMAND = (sys.executable, "-m", "nanoclaw", "run")


class Host:
    """One host on ``home``; a context manager that starts it and never leaves it behind."""

    def __init__(
        self,
        home: Path,
        *,
        runtime: str = "process",
        flags: Sequence[str] = (),
        command: Sequence[str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.paths = HostPaths(home)
        self.process: subprocess.Popen[str] | None = None
        self._mark = uuid.uuid4().hex
        words = [*COMMAND, "--runtime", runtime] if command is None else list(command)
        self._command = [*words, "--home", str(home), *flags]
        self._environment = environment or {}
        self._output: list[str] = []

    def __enter__(self) -> "Host":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, *, within: float = 20) -> None:
        """Starts the host and returns when it and all its children are up."""
        self.spawn()
        wait_until(self._is_up, within=within, what="the host is up")

    def spawn(self) -> None:
        """Starts the host without waiting for anything."""
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """What the host and its tree run with; nothing of the developer's own settings."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        return {**kept, "PYTHONPATH": path, MARK: self._mark, **self._environment}

    def status(self) -> HostStatus | None:
        """The status of this very process, not what an earlier one left behind."""
        status = read_status(self.paths.status_file)
        if status is None or self.process is None or status.pid != self.process.pid:
            return None
        return status

    def child(self, name: str) -> ChildStatus:
        status = self.status()
        child = status.child(name) if status is not None else None
        assert child is not None, f"no child {name} in {status}"
        return child

    def pids(self) -> dict[str, int]:
        """Process ids of the children that are alive, by name."""
        status = self.status()
        children = status.children if status is not None else ()
        return {child.name: child.pid for child in children if child.pid is not None}

    def kill_child(self, name: str, number: int = signal.SIGKILL) -> int:
        """Signals one child and returns its process id."""
        pid = self.pids()[name]
        os.kill(pid, number)
        return pid

    def kill(self) -> None:
        """Kills the supervisor, as the kernel would when memory runs out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()  # its children may hold the other end for a moment

    def wait(self, *, within: float = 30) -> int:
        """Waits for the end of the supervisor and returns its exit code."""
        assert self.process is not None
        _, output = self.process.communicate(timeout=within)
        self._output.append(output)
        return self.process.returncode

    def wait_for_recovery(self, name: str, old_pid: int, *, within: float = 10) -> int:
        """Waits until the child is running under another process id, and returns that."""

        def new_pid() -> int | None:
            child = self.child(name)
            running = child.state == "running" and child.pid != old_pid
            return child.pid if running else None

        return wait_until(new_pid, within=within, what=f"{name} is back") or 0

    def error_output(self) -> str:
        """Everything the host wrote to standard error; complete after ``wait`` or ``stop``."""
        return "".join(self._output)

    def log(self) -> str:
        file = self.paths.logs / "nanoclaw.log"
        return file.read_text() if file.exists() else ""

    def living(self) -> list[int]:
        """All processes of this host's tree, wherever they hang by now."""
        mark = f"{MARK}={self._mark}".encode()
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _has(entry, mark)]

    def forkserver_pid(self) -> int:
        """The process that forks the children: the parent of any of them."""
        pid = next(iter(self.pids().values()))
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return int(fields[1])

    def stop(self, *, within: float = 30) -> int | None:
        """Stops in order; what does not obey, or has lost its supervisor, is killed by its id."""
        code = None
        try:
            if self.process is not None:
                if self.process.poll() is None:
                    self.process.terminate()
                if self.process.stderr is not None and not self.process.stderr.closed:
                    self.wait(within=within)
                code = self.process.returncode
        finally:
            self._kill_leftovers()
            # 256 MiB each: kept folders of many tests would fill the developer's disk.
            self.paths.reserve_file.unlink(missing_ok=True)
        return code

    def _kill_leftovers(self) -> None:
        def none_left() -> bool:
            for pid in self.living():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not self.living()

        wait_until(none_left, within=10, what="no process of the host is left")
        if self.process is not None:
            self.process.poll()

    def _is_up(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            self.wait()
            raise AssertionError(f"the host ended at its start: {self.error_output()}")
        status = self.status()
        return (
            status is not None
            and status.state == "running"
            and all(child.state in ("running", "waiting") for child in status.children)
        )


def _has(entry: Path, mark: bytes) -> bool:
    try:
        if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return mark in (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # gone meanwhile, or not ours to look at


def small_host(home: Path, table: str, **environment: str) -> Host:
    """A host with one of the tables of ``helpers.small_children`` as its children."""
    command = (sys.executable, "-m", "helpers.small_host", "--table", table)
    return Host(home, command=command, environment=environment)
