"""Runs one program to its end: bounded in time and in what is kept of its output.

Used by tools that leave work to a program of the image (search, PDF). The commands of the agent are
``shell``'s.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_COMPLAINT_BYTES = 4096
END_SECONDS = 2.0
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Program:
    """``environment`` None: ours."""

    words: Sequence[str]
    seconds: float
    max_bytes: int
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Printed:
    """``output`` was cut when ``is_full``; the program was ended early when that or ``is_late``."""

    output: bytes
    complaint: str
    is_full: bool = False
    is_late: bool = False


async def run_program(program: Program) -> Printed:
    """Raises OSError when it cannot be started, and ValueError for words that cannot be passed."""
    process = await asyncio.create_subprocess_exec(
        *program.words,
        cwd=program.cwd,
        env=None if program.environment is None else dict(program.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    output, complaint = bytearray(), bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    is_late = False
    complaining = asyncio.create_task(_keep(process.stderr, complaint, MAX_COMPLAINT_BYTES))
    try:
        async with asyncio.timeout(program.seconds):
            is_full = await _keep(process.stdout, output, program.max_bytes, to_the_end=False)
            if not is_full:
                await complaining
                await process.wait()
    except TimeoutError:
        is_late, is_full = True, False
    finally:
        await _end(process, complaining)
    said = complaint.decode("utf-8", "replace").strip()
    return Printed(bytes(output), said, is_full, is_late)


async def _keep(
    stream: asyncio.StreamReader, kept: bytearray, limit: int, *, to_the_end: bool = True
) -> bool:
    """Whether there was more than the limit, which is read and forgotten ``to_the_end``."""
    while data := await stream.read(_READ_BYTES):
        room = limit - len(kept)
        kept += data[:room]
        if len(data) > room and not to_the_end:
            return True
    return False


async def _end(process: asyncio.subprocess.Process, complaining: asyncio.Task[bool]) -> None:
    """With all that it has started. A pipe that nobody reads to its end may hold up ``wait``."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(END_SECONDS):
            await _keep(process.stdout, bytearray(), 0)
            await complaining
            await process.wait()
    except TimeoutError:
        complaining.cancel()
