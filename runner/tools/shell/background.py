"""Commands that go on while the agent does other things (R-252)."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.tools.shell.output import read_since
from runner.tools.shell.processes import descendants, signal_all
from runner.tools.shell.session import LOOK_SECONDS, MAX_OUTPUT_BYTES

MAX_ALIVE = 16
MAX_REMEMBERED = 64


@dataclass(slots=True)
class Job:
    """``status`` is None while it runs; ``why`` says what ended it, if we did."""

    name: str
    command: str
    output: Path
    process: asyncio.subprocess.Process
    notify: bool
    offset: int = 0
    status: int | None = None
    why: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def news(self) -> str:
        text, self.offset = read_since(self.output, self.offset)
        return text


class Background:
    """All background commands of one shell."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._notes: list[str] = []
        self._count = 0
        self.wake: Callable[[], None] = lambda: None

    @property
    def alive(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.status is None]

    def find(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def names(self) -> str:
        return ", ".join(self._jobs) or "(none)"

    def take_notes(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes

    def add(
        self,
        command: str,
        output: Path,
        process: asyncio.subprocess.Process,
        seconds: float,
        *,
        notify: bool,
    ) -> Job:
        self._count += 1
        job = Job(f"bg-{self._count}", command, output, process, notify)
        self._jobs[job.name] = job
        for name in [n for n, old in self._jobs.items() if old.status is not None]:
            if len(self._jobs) > MAX_REMEMBERED:
                del self._jobs[name]
        task = asyncio.create_task(self._watch(job, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def end(self, job: Job, why: str) -> None:
        if job.status is None:
            job.why = why
            _signal(job, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await job.ended.wait()
                return
            _signal(job, signal.SIGKILL)

    async def close(self) -> None:
        for job in self.alive:
            job.why = job.why or "the agent ended"
            _signal(job, signal.SIGKILL)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    async def _watch(self, job: Job, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        waiting = asyncio.create_task(job.process.wait())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK_SECONDS * 5)
            if waiting.done():
                break
            if loop.time() > deadline:
                job.why = f"it took longer than {seconds:g} s"
                _signal(job, signal.SIGKILL)
            elif job.output.stat().st_size > MAX_OUTPUT_BYTES:
                job.why = "its output was over 50 MB"
                _signal(job, signal.SIGKILL)
        job.status = waiting.result()
        _signal(job, signal.SIGKILL)  # what it has left behind in its group
        job.ended.set()
        ended = f"ended with status {job.status}" + (f" ({job.why})" if job.why else "")
        self._notes.append(f"Background command {job.name} {ended}; read it with bash_output.")
        if job.notify:
            self.wake()


def _signal(job: Job, number: int) -> None:
    signal_all(descendants(job.process.pid), number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid, number)
