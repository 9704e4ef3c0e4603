"""One running child seen from outside: start it, read its reports, signal it, reap it.

Used by ``supervisor`` only. Children are forked by multiprocessing's forkserver, a clean process
that has imported what all of them need, or spawned where there is no forkserver; never forked
from a process with state. A forkserver that was killed is started again with the next child.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from nanoclaw.config import HostConfig
from nanoclaw.supervise.child import BLOCKED_SIGNALS, ChildSpec, ChildStart, child_main
from nanoclaw.supervise.report import Report, ReportReader
from nanoclaw.supervise.state import EXIT_LOST

MAX_TEMP_PATH_BYTES = 70
"""multiprocessing adds 32 bytes to the folder for its socket, which must stay under 104."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started child: its process, the pipe it reports through, and a stable handle to kill."""

    process: BaseProcess
    reports: ReportReader
    reports_fd: int
    pidfd: int | None

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    @property
    def sentinel(self) -> int:
        return int(self.process.sentinel)

    def read_reports(self) -> tuple[list[Report], bool]:
        return self.reports.read()

    def send(self, number: signal.Signals) -> None:
        """Signals the child; a dead one, even with its number used again, is not an error."""
        with contextlib.suppress(ProcessLookupError):
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                os.kill(self.pid, number)

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while the child lives."""
        return self.process.exitcode

    def close(self) -> None:
        """Gives up the handles of an ended child, making sure that it has ended.

        When the forkserver was killed nobody reports the end of its children, and where the
        kernel does not kill them along with it, this does.
        """
        if self.process.exitcode == EXIT_LOST:
            self.send(signal.SIGKILL)
        if self.pidfd is not None:
            os.close(self.pidfd)
        os.close(self.reports_fd)
        self.process.close()


class Launcher:
    """Starts children of one host. ``preload`` names the module that all of them share."""

    def __init__(self, config: HostConfig, preload: str, *, spawn: bool = False) -> None:
        self._config = config
        self._context = _start_context(spawn=spawn)
        self._user_python_path = os.environ.get("PYTHONPATH")
        self._python_path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        use_temp_folder(config.paths.run)
        do_without_resource_tracker()
        if isinstance(self._context, ForkServerContext):
            self._context.set_forkserver_preload([preload])

    def warm_up(self) -> None:
        """Starts the forkserver, which imports on its own while the caller does other things."""
        if isinstance(self._context, ForkServerContext):
            with self._clean_conditions():
                forkserver.ensure_running()

    def start(self, spec: ChildSpec) -> Running:
        """Starts one child. Raises OSError or EOFError when the forkserver died meanwhile."""
        self.warm_up()
        reader, writer = self._context.Pipe(duplex=False)
        start = ChildStart(self._config, spec, writer, _forkserver_pid(), self._user_python_path)
        process = self._context.Process(
            target=child_main, args=(start,), name=spec.name, daemon=False
        )
        try:
            with self._clean_conditions():
                process.start()
        except BaseException:
            reader.close()
            raise
        finally:
            writer.close()
        reports_fd = os.dup(reader.fileno())
        reader.close()
        pid = process.pid or 0
        return Running(process, ReportReader(reports_fd), reports_fd, _open_pidfd(pid))

    @contextlib.contextmanager
    def _clean_conditions(self) -> Iterator[None]:
        """Circumstances that a forkserver started inside inherits.

        Signals sent to the whole process group are for the supervisor alone, or a stop would
        take the children down before their order. And it must find our packages: it imports
        with the default path plus PYTHONPATH, not with the path of a zipapp or a script.
        Nor may a child import the main module again, as multiprocessing would have it do.
        """
        main_module = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
        os.environ["PYTHONPATH"] = self._python_path
        try:
            yield
        finally:
            if self._user_python_path is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = self._user_python_path
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            sys.modules["__main__"] = main_module


def use_temp_folder(run_folder: Path) -> None:
    """Keeps multiprocessing's own socket inside the home, so that nothing of a killed host
    stays behind in the system's temporary folder. A home too deep for a socket cannot."""
    for stale in run_folder.glob("pymp-*"):
        for path in stale.iterdir():
            path.unlink(missing_ok=True)
        stale.rmdir()
    if len(os.fsencode(run_folder)) <= MAX_TEMP_PATH_BYTES:
        tempfile.tempdir = str(run_folder)


def do_without_resource_tracker() -> None:
    """Keeps multiprocessing from starting a process (6 MiB) that would have nothing to do.

    It tidies up semaphores and shared memory, of which we use none. With a descriptor in place,
    multiprocessing takes it for running, and writes its signs of life to nowhere.
    """
    tracker = getattr(resource_tracker, "_resource_tracker", None)
    if tracker is not None and getattr(tracker, "_fd", 0) is None:
        tracker._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _start_context(*, spawn: bool) -> ForkServerContext | SpawnContext:
    if not spawn and "forkserver" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def _forkserver_pid() -> int | None:
    """The forkserver's process id; the standard library keeps it to itself."""
    server = getattr(forkserver, "_forkserver", None)
    pid = getattr(server, "_forkserver_pid", None)
    return pid if isinstance(pid, int) else None


def _open_pidfd(pid: int) -> int | None:
    opener: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return opener(pid)
    except OSError:
        return None  # an old kernel, or the child is dead already


def describe_exit(code: int) -> str:
    if code == EXIT_LOST:
        return "lost: the process that starts children ended"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
