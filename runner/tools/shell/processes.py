"""Ends processes with everything that they have started. Linux: looks at /proc."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

STEPS = ((signal.SIGINT, 2.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
_LOOK_SECONDS = 0.05


def descendants(root: int) -> list[int]:
    """All processes below this one, wherever their process groups are."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            rest = entry.read_text(errors="replace").rpartition(")")[2].split()
            if rest[0] != "Z":
                parents.setdefault(int(rest[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


async def end_below(root: int) -> None:
    """Asks, insists, kills; the process itself stays."""
    seen = set(descendants(root))
    for number, seconds in STEPS:
        if not seen:
            return
        signal_all(sorted(seen), number)
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            seen = {pid for pid in seen if _is_alive(pid)} | set(descendants(root))
            if not seen:
                return


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"
