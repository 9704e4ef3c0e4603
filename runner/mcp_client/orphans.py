"""Finds what a server's program left behind, wherever in the process tree it went.

Called by ``stdio`` when a server has ended. A program may start children in groups and sessions of
their own, which a signal to its process group never reaches; all of them inherit a variable with
the server's mark in their environment, which Linux shows in ``/proc``. Elsewhere nothing is found.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VARIABLE = "NANOCLAW_MCP_CHILD"
"""In the environment of a server's process; its value is new for each start."""

_PROC = Path("/proc")
_ROUNDS = 5
"""A process may fork while we look; each round finds the new ones."""


def marked_processes(mark: str) -> tuple[int, ...]:
    """Ids of living processes that were started with this mark."""
    wanted = f"{VARIABLE}={mark}".encode()
    return tuple(pid for pid in _process_ids() if wanted in _environment(pid).split(b"\0"))


def kill_marked(mark: str) -> int:
    """Kills them, and says how many there were."""
    killed = 0
    for _ in range(_ROUNDS):
        found = marked_processes(mark)
        if not found:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def _process_ids() -> Iterator[int]:
    try:
        names = [entry.name for entry in _PROC.iterdir()]
    except OSError:
        return
    own = os.getpid()
    yield from (int(name) for name in names if name.isdecimal() and int(name) != own)


def _environment(pid: int) -> bytes:
    """Empty for a process that is gone, a zombie, or somebody else's."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""
