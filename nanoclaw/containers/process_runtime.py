"""Runners as child processes of the sweep, without a sandbox: for tests, the demo and trying out.

Used only when it is asked for. The same runner with the same two folders; limits of the container
become limits of the process where the system has them, everything else is open. A runner dies with
the sweep that started it, so nothing has to be adopted: the next sweep starts it again.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract import killpoint, layout
from nanoclaw.containers.logs import rotate
from nanoclaw.containers.runtime import (
    Died,
    ExitReport,
    Found,
    Listening,
    NameTaken,
    RunState,
    RuntimeEvent,
)
from nanoclaw.containers.spec import LEASE_LABEL, RUNTIME_LABEL, SESSION_LABEL, ContainerSpec
from nanoclaw.errors import ContainerError

ID_PREFIX = "process-"
KILL_SECONDS = 5.0
_STARTER = Path(__file__).with_name("process_start.py")


@dataclass(slots=True)
class _Child:
    spec: ContainerSpec
    process: subprocess.Popen[bytes]


class ProcessRuntime:
    """All methods may be called from any thread."""

    def __init__(self) -> None:
        self._children: dict[str, _Child] = {}
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[RuntimeEvent | None] = queue.SimpleQueue()

    def start(self, spec: ContainerSpec) -> str:
        with self._lock:
            self._refuse_second(spec.name)
            try:
                process = _spawn(spec)
            except OSError as error:
                raise ContainerError(f"the runner does not start: {error}") from error
            child_id = f"{ID_PREFIX}{process.pid}"
            self._children[child_id] = _Child(spec, process)
        name = f"wait-{process.pid}"
        threading.Thread(
            target=self._wait, args=(child_id, process), name=name, daemon=True
        ).start()
        return child_id

    def _refuse_second(self, name: str) -> None:
        for child_id, child in list(self._children.items()):
            if child.spec.name == name:
                if child.process.poll() is None:
                    raise NameTaken(child_id)
                _close(self._children.pop(child_id))

    def _wait(self, child_id: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(Died(child_id))

    def stop(self, container_id: str, grace_seconds: int) -> None:
        child = self._children.get(container_id)
        if child is None:
            return
        child.process.terminate()
        try:
            child.process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            _kill_group(child.process)
            child.process.wait(KILL_SECONDS)

    def list_containers(self) -> list[Found]:
        with self._lock:
            return [_found(child_id, child) for child_id, child in self._children.items()]

    def read_exit(self, container_id: str) -> ExitReport:
        child = self._children.get(container_id)
        if child is None or child.process.poll() is None:
            return ExitReport(None, detail="the process is not ours")
        code = child.process.returncode
        # As the engine reports it: a signal is 128 and its number.
        return ExitReport(code if code >= 0 else 128 - code)

    def remove(self, container_id: str) -> None:
        with self._lock:
            child = self._children.pop(container_id, None)
        if child is not None:
            _close(child)

    def events(self) -> Iterator[RuntimeEvent]:
        yield Listening()
        while (event := self._events.get()) is not None:
            yield event

    def close(self) -> None:
        for container_id in list(self._children):
            self.remove(container_id)
        self._events.put(None)


def _spawn(spec: ContainerSpec) -> subprocess.Popen[bytes]:
    """The runner in a session of its own. Its standard input is its life line: when the write end
    closes, because this process is gone in whatever way, it ends itself."""
    app = _needed(spec, layout.MOUNT_APP)
    rotate(spec.log_file)
    with spec.log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", str(_STARTER), *_limits(spec)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=_needed(spec, layout.MOUNT_WORKSPACE),
            env=_environment(spec, app),
            start_new_session=True,
        )


def _limits(spec: ContainerSpec) -> list[str]:
    return [str(spec.limits.file_bytes), str(spec.limits.open_files)]


def _environment(spec: ContainerSpec, app: Path) -> dict[str, str]:
    """The container's environment with the host's folders in the place of mount points."""
    paths = layout.RunnerPaths(
        in_dir=_needed(spec, layout.MOUNT_IN),
        out_dir=_needed(spec, layout.MOUNT_OUT),
        workspace=_needed(spec, layout.MOUNT_WORKSPACE),
        app=app,
        global_dir=spec.source_of(layout.MOUNT_GLOBAL) or Path(layout.MOUNT_GLOBAL),
    )
    return {
        "PATH": os.defpath,
        **killpoint.to_environment(),
        **dict(spec.environment),
        **paths.to_environment(),
        "HOME": str(_needed(spec, layout.MOUNT_HOME)),
        "PYTHONPATH": str(app),
    }


def _needed(spec: ContainerSpec, target: str) -> Path:
    source = spec.source_of(target)
    assert source is not None, f"every agent has {target}"
    return source


def _found(child_id: str, child: _Child) -> Found:
    labels = dict(child.spec.labels)
    running = child.process.poll() is None
    return Found(
        container_id=child_id,
        name=child.spec.name,
        state=RunState.RUNNING if running else RunState.EXITED,
        session_id=labels.get(SESSION_LABEL),
        runtime_version=labels.get(RUNTIME_LABEL),
        lease=int(labels.get(LEASE_LABEL, "0")),
    )


def _close(child: _Child) -> None:
    _kill_group(child.process)
    child.process.wait(KILL_SECONDS)
    if child.process.stdin is not None:
        child.process.stdin.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The runner and whatever it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
