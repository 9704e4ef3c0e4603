"""Runs one script of a task as a process group of its own, within time and output limits.

The file has an unpredictable name in a private folder and is gone afterwards; so is every process
that the script has started (R-101, R-104). Called by ``gate/desk`` only.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.gate.decide import ScriptRun, Stopped

SCRIPT_SECONDS = 30.0
MAX_OUTPUT = 1024 * 1024
LINGER_SECONDS = 1.0
"""Children may hold the pipes after the script itself has ended."""
LOOK_SECONDS = 0.02
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``environment`` None: that of this process."""

    folder: Path
    workspace: Path
    environment: Mapping[str, str] | None = None
    seconds: float = SCRIPT_SECONDS


class _TooMuchError(Exception):
    """The output limit was reached."""


async def run_script(text: str, around: Surroundings) -> ScriptRun:
    """Never raises for anything the script does."""
    try:
        path = _write(text, around.folder)
    except OSError as error:
        return ScriptRun(None, errors=str(error), stopped=Stopped.NOT_STARTED)
    try:
        process = await asyncio.create_subprocess_exec(
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
        return await _watch(process, around.seconds)
    finally:
        path.unlink(missing_ok=True)


def _write(text: str, folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix="task-", suffix=".sh", dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o700)
    return Path(name)


async def _watch(process: asyncio.subprocess.Process, seconds: float) -> ScriptRun:
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    stopped: Stopped | None = None
    readers = [
        asyncio.create_task(_read(process.stdout, output)),
        asyncio.create_task(_read(process.stderr, errors)),
    ]
    try:
        async with asyncio.timeout(seconds):
            await _until_ended(process, readers)
    except TimeoutError:
        stopped = Stopped.TOO_SLOW
    except _TooMuchError:
        stopped = Stopped.TOO_MUCH
    finally:
        _end_group(process)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    status = await process.wait()
    return ScriptRun(
        None if stopped is not None else status,
        output.decode(errors="replace"),
        errors.decode(errors="replace"),
        stopped,
    )


async def _until_ended(
    process: asyncio.subprocess.Process, readers: list[asyncio.Task[None]]
) -> None:
    """The script's own end, and what it has printed until then."""
    ended = asyncio.create_task(_ended(process))
    try:
        waiting = {ended, *readers}
        while not ended.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
    finally:
        ended.cancel()
    done, _ = await asyncio.wait(readers, timeout=LINGER_SECONDS)
    for reader in done:
        reader.result()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Not ``wait``: that also waits for the pipes, which children of the script may hold."""
    while process.returncode is None:  # noqa: ASYNC110 the standard library has no event for it
        await asyncio.sleep(LOOK_SECONDS)


async def _read(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(_CHUNK):
        into += chunk
        if len(into) > MAX_OUTPUT:
            raise _TooMuchError


def _end_group(process: asyncio.subprocess.Process) -> None:
    """The whole group, also when its leader is gone: nothing of a script outlives it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
