"""Finds and ends the processes of a shell and of its commands. Linux: looks at /proc.

They are found by their ancestors and by their session, so that what was left to another parent is
found too; only what makes a session of its own and then leaves its parent gets away.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

Steps = tuple[tuple[int, float], ...]
STEPS: Steps = ((signal.SIGINT, 2.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """Equal to the same process at another time; an id alone is given away again.

    ``started`` is in ticks since the machine started.
    """

    pid: int
    started: int
    parent: int = field(compare=False)
    session: int = field(compare=False)


NOTHING: frozenset[Process] = frozenset()


def below(root: int, spared: frozenset[Process] = NOTHING) -> set[Process]:
    """All living processes that this one has started, directly or not, but the ``spared``."""
    table = {process.pid: process for process in _processes()}
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    waiting = [root, *(p.pid for p in table.values() if p.session == root and p.pid != root)]
    found.update((pid, table[pid]) for pid in waiting[1:])
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child.pid not in found and child.pid != root:
                found[child.pid] = child
                waiting.append(child.pid)
    return set(found.values()) - spared


def signal_all(processes: Iterable[Process], number: int) -> None:
    """Parents first, or they would go on to their next command when a child has ended."""
    for process in sorted(processes, key=lambda process: (process.started, process.pid)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


async def end_below(root: int, spared: frozenset[Process] = NOTHING, steps: Steps = STEPS) -> None:
    """Asks, insists, kills; the process itself stays, and so do the ``spared``."""
    left = below(root, spared)
    clock = asyncio.get_running_loop().time
    for number, seconds in steps:
        if not left:
            return
        signal_all(left, number)
        deadline = clock() + seconds
        while left and clock() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            left = below(root, spared) | {
                process for process in left if _read(process.pid) == process
            }


def _processes() -> Iterable[Process]:
    with contextlib.suppress(OSError), os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and (process := _read(int(entry.name))) is not None:
                yield process


def _read(pid: int) -> Process | None:
    """None for what is gone, or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        words = text.rpartition(")")[2].split()
        if words[0] in ("Z", "X"):
            return None
        return Process(pid, int(words[19]), int(words[1]), int(words[3]))
    except (OSError, ValueError, IndexError):
        return None
