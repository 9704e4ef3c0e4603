"""Commands that go on while the agent does other things (R-252)."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.tools.shell.output import read_output
from runner.tools.shell.processes import STEPS, Steps, below, end_below, signal_all
from runner.tools.shell.pump import MAX_OUTPUT_BYTES, Pump

MAX_ALIVE = 16
MAX_REMEMBERED = 64
MAX_NOTES = 64
CLOSE_SECONDS = 2.0
KILL_SECONDS = 2.0
_SHOWN_COMMAND = 80


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run, where its output goes, and for how long at most."""

    command: str
    words: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    output: Path
    seconds: float
    notify: bool = False


@dataclass(slots=True)
class Job:
    """``status`` is None while it runs; ``why`` says what ended it, if we did."""

    name: str
    order: Order
    process: asyncio.subprocess.Process
    pump: Pump
    offset: int = 0
    status: int | None = None
    why: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    full: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> str:
        if self.status is None:
            return "still running"
        return f"ended with status {self.status}" + (f" ({self.why})" if self.why else "")

    def news(self) -> str:
        """What it has printed since the last time."""
        growing = not self.ended.is_set()
        text, self.offset = read_output(self.order.output, self.offset, growing=growing)
        return text


class Background:
    """All background commands of one shell."""

    def __init__(self, steps: Steps = STEPS) -> None:
        self._steps = steps
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._notes: list[str] = []
        self._count = 0
        self.wake: Callable[[], None] = lambda: None
        self.on_end: Callable[[Job], None] = lambda _: None

    @property
    def alive(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.status is None]

    def find(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def table(self) -> str:
        """A line for each command that is still remembered."""
        lines = [
            f"{job.name}: {job.state}: {' '.join(job.order.command.split())[:_SHOWN_COMMAND]}"
            for job in self._jobs.values()
        ]
        return "\n".join(lines) or "(no background commands)"

    def take_notes(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes

    async def start(self, order: Order) -> Job:
        """Raises OSError when it cannot be started."""
        pump = Pump(order.output, lambda: None, MAX_OUTPUT_BYTES)
        with contextlib.ExitStack() as undo:
            undo.callback(pump.close)
            process = await asyncio.create_subprocess_exec(
                *order.words,
                cwd=order.cwd,
                env=dict(order.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pump.writer,
                stderr=pump.writer,
                start_new_session=True,
            )
            undo.pop_all()
        pump.release()
        self._count += 1
        job = Job(f"bg-{self._count}", order, process, pump)
        pump.on_full = job.full.set
        if pump.problem:
            job.full.set()
        self._remember(job)
        task = asyncio.create_task(self._watch(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def end(self, job: Job, why: str) -> None:
        """Asks, insists, kills; returns when it has ended, or cannot be ended."""
        if job.status is not None:
            return
        job.why = job.why or why
        for number, seconds in self._steps:
            _signal(job, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await job.ended.wait()
                return

    async def close(self) -> None:
        for job in self.alive:
            job.why = job.why or "the agent ended"
            _signal(job, signal.SIGKILL)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for job in self._jobs.values():
            job.pump.close()

    def _remember(self, job: Job) -> None:
        self._jobs[job.name] = job
        for name in [n for n, old in self._jobs.items() if old.status is not None]:
            if len(self._jobs) > MAX_REMEMBERED:
                del self._jobs[name]

    async def _watch(self, job: Job) -> None:
        waiting = asyncio.create_task(job.process.wait())
        full = asyncio.create_task(job.full.wait())
        try:
            await asyncio.wait(
                {waiting, full},
                timeout=job.order.seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not waiting.done():
                late = f"it took longer than {job.order.seconds:g} s"
                job.why = job.why or job.pump.problem or late
                _signal(job, signal.SIGKILL)
            job.status = await waiting
        finally:
            full.cancel()
        # What it has left behind would write to an output that nobody reads any more.
        await end_below(job.process.pid, steps=((signal.SIGKILL, KILL_SECONDS),))
        job.pump.drain()
        job.pump.close()
        job.ended.set()
        self.on_end(job)
        self._notes.append(f"Background command {job.name} {job.state}; read it with bash_output.")
        del self._notes[:-MAX_NOTES]
        if job.order.notify:
            self.wake()


def _signal(job: Job, number: int) -> None:
    children = below(job.process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(job.process.pid, number)
    signal_all(children, number)
