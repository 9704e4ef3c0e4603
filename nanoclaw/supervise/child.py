"""A child process seen from inside: what happens before and after its own work.

``child_main`` is what every child runs, started by ``worker_process`` through multiprocessing.
It makes sure that the child dies with its supervisor and never exists twice, then calls the
composition root with a ``ChildContext`` and turns its end into an exit code and a reason.
"""

import ctypes
import fcntl
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from nanoclaw.config import HostConfig
from nanoclaw.errors import ExitCode, NanoclawError
from nanoclaw.log import setup_logging
from nanoclaw.supervise.report import Note, Ready, Reason, write_report

PREDECESSOR_SECONDS = 10
"""How long a child waits for an earlier one of its name to be gone from the process table."""
PREDECESSOR_POLL_SECONDS = 0.02
ORPHAN_EXIT = 70
BLOCKED_SIGNALS = frozenset({signal.SIGTERM, signal.SIGHUP})
"""Blocked in the process that forks the children; see ``worker_process``."""
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


def _nothing() -> None:
    pass


def _no_note(key: str, value: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ChildContext:
    """What a composition root gets: settings, its name, and how to report upwards."""

    config: HostConfig
    name: str
    ready: Callable[[], None] = _nothing
    """Called once, when the child accepts work."""
    note: Callable[[str, str], None] = _no_note
    """Shows a fact in the host's status, for example ``note("watch", "polling")``."""


Entry = Callable[[ChildContext], None]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One row of the table of children."""

    name: str
    entry: Entry
    """A module-level function; it imports the composition root itself, late."""
    stop_phase: int = 1
    """Children of a lower phase are gone before those of the next one are told to stop."""
    stop_seconds: float = 5
    needed_for_ready: bool = False
    needs_state: bool = True
    """Whether the database must be in order first; the terminal channel has none to do with it."""
    on_demand: bool = False
    """Started when its bell rings for the first time (``nanoclaw.bell``), and kept from then on."""


@dataclass(frozen=True, slots=True)
class ChildStart:
    """Everything that travels to a new child; it inherits nothing else."""

    config: HostConfig
    spec: ChildSpec
    reports: Connection
    forking_pid: int | None
    """The forkserver, whose death must be this child's death; None where there is none."""
    python_path: str | None
    """PYTHONPATH as the user had set it; the forkserver runs with one of ours."""


def child_main(start: ChildStart) -> None:
    """Runs one child to its end and leaves with the exit code the supervisor understands."""
    _tie_to_supervisor(start)
    reports = start.reports.fileno()
    context = ChildContext(
        start.config,
        start.spec.name,
        ready=lambda: write_report(reports, Ready()),
        note=lambda key, value: write_report(reports, Note(key, value)),
    )
    try:
        setup_logging(start.config, start.spec.name)
        hold_child_lock(start.config.paths.lock_file(start.spec.name))
        start.spec.entry(context)
    except NanoclawError as error:
        log.error("child gave up", extra={"child": context.name, "reason": str(error)})
        write_report(reports, Reason(str(error)))
        sys.exit(error.exit_code)
    except Exception as error:
        log.exception("child crashed", extra={"child": context.name})
        write_report(reports, Reason(f"{type(error).__name__}: {error}"))
        sys.exit(ExitCode.CRASH)


class PredecessorError(NanoclawError):
    """An earlier process of the same child is still alive."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL


def hold_child_lock(path: Path, *, wait_seconds: float = PREDECESSOR_SECONDS) -> int:
    """Takes the child's lock until the process ends; waits a while for a dying predecessor.

    The descriptor is never closed: only the kernel lets go of it, when the process is dead.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 20, 0).decode(errors="replace").strip()
                os.close(fd)
                raise PredecessorError(
                    f"an earlier process still holds {path.name} (pid {holder or 'unknown'})"
                ) from None
            time.sleep(PREDECESSOR_POLL_SECONDS)
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            return fd


def _tie_to_supervisor(start: ChildStart) -> None:
    die_with_parent(start.forking_pid)
    watch_supervisor()
    os.setsid()  # Ctrl-C on the terminal is the supervisor's to handle, in its order
    os.umask(0o077)
    # A core file of the vault or the delivery process would hold the owner's secrets.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_SIGNALS)
    if start.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = start.python_path


def die_with_parent(expected_parent: int | None) -> None:
    """Has the kernel kill this process when the one that forked it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if expected_parent is not None and os.getppid() != expected_parent:
            os._exit(ORPHAN_EXIT)  # it died before we could ask


def watch_supervisor() -> None:
    """Ends this process as soon as the supervisor is gone, whatever it is doing just then."""
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def wait_for_death() -> None:
        connection.wait([sentinel])
        os._exit(ORPHAN_EXIT)

    threading.Thread(target=wait_for_death, name="supervisor-watch", daemon=True).start()
