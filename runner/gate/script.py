"""Runs one script of a task as a process group of its own, within time and output limits.

The file has an unpredictable name in a private folder and is gone afterwards; so is every process
that the script has started (R-101, R-104). Called by ``gate/desk`` only.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.gate.decide import ScriptRun, Stopped

SCRIPT_SECONDS = 30.0
MAX_OUTPUT = 1024 * 1024
LINGER_SECONDS = 1.0
"""Children may hold the pipes after the script itself has ended."""
_OUT, _ERR = 1, 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``environment`` None: that of this process."""

    folder: Path
    workspace: Path
    environment: Mapping[str, str] | None = None
    seconds: float = SCRIPT_SECONDS


async def run_script(text: str, around: Surroundings) -> ScriptRun:
    """Never raises for anything the script does."""
    try:
        path = _write(text, around.folder)
    except OSError as error:
        return ScriptRun(None, errors=str(error), stopped=Stopped.NOT_STARTED)
    try:
        transport, watched = await asyncio.get_running_loop().subprocess_exec(
            _Watched,
            "bash",
            str(path),
            cwd=around.workspace,
            env=None if around.environment is None else dict(around.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        return ScriptRun(None, errors=str(error), stopped=Stopped.NOT_STARTED)
    try:
        return await _outcome(transport, watched, around.seconds)
    finally:
        path.unlink(missing_ok=True)
        _end_group(transport.get_pid())
        await _within(watched.exited.wait(), LINGER_SECONDS)
        transport.close()


class _Watched(asyncio.SubprocessProtocol):
    """Collects the output; ``over`` is set by the script's end, or by too much of it.

    The standard library's streams will not do: they wait for the pipes as well, which children
    of the script may hold, and stop reading when nobody takes what they have read.
    """

    def __init__(self) -> None:
        self.parts = {_OUT: bytearray(), _ERR: bytearray()}
        self.over = asyncio.Event()
        self.exited = asyncio.Event()
        self.pipes_closed = asyncio.Event()
        self.too_much = False
        self._open = set(self.parts)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        into = self.parts[fd]
        into += data[: max(MAX_OUTPUT + 1 - len(into), 0)]
        if len(into) > MAX_OUTPUT:
            self.too_much = True
            self.over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.pipes_closed.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()

    def text(self, fd: int) -> str:
        return self.parts[fd].decode(errors="replace")


async def _outcome(
    transport: asyncio.SubprocessTransport, watched: _Watched, seconds: float
) -> ScriptRun:
    stopped: Stopped | None = None
    if not await _within(watched.over.wait(), seconds):
        stopped = Stopped.TOO_SLOW
    elif not watched.too_much:
        await _within(watched.pipes_closed.wait(), LINGER_SECONDS)
    if watched.too_much:
        stopped = Stopped.TOO_MUCH
    status = transport.get_returncode() if stopped is None else None
    return ScriptRun(status, watched.text(_OUT), watched.text(_ERR), stopped)


async def _within(waiting: Awaitable[object], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return False
    return True


def _write(text: str, folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix="task-", suffix=".sh", dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o700)
    return Path(name)


def _end_group(pid: int) -> None:
    """The whole group, also when its leader is gone: nothing of a script outlives it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
