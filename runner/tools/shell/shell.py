"""The agent's shell as a whole: the bash in front and the commands behind it.

Made by ``equipment``; used by the tools ``bash`` and ``bash_output``. The bash starts with its
first command and again whenever it has ended. A sub-agent has a shell of its own (``branch``).
"""

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.tools.shell.background import Background, Job, Order
from runner.tools.shell.output import read_output
from runner.tools.shell.processes import STEPS, Steps
from runner.tools.shell.session import Bash, Ended, shell_environment
from runner.tools.spool import Spool

STATE_SECONDS = 5.0
MAX_STATE_BYTES = 4 * 1024 * 1024
_STATE = "export -p; declare -f; umask -p"


@dataclass(frozen=True, slots=True)
class Running:
    """How a command is to be run in the background."""

    command: str
    seconds: float
    notify: bool = False


class Shell:
    """See ``Resident`` in ``runner.toolbox.source``."""

    def __init__(
        self, cwd: Path, environment: Mapping[str, str], spool: Spool, steps: Steps = STEPS
    ) -> None:
        self._home = cwd
        self._environment = shell_environment(environment)
        self._spool = spool
        self._steps = steps
        self._bash: Bash | None = None
        self._last_cwd = cwd
        self._turn = asyncio.Lock()
        self.background = Background(steps)
        self.background.on_end = lambda job: spool.let_go(job.order.output)

    @property
    def cwd(self) -> Path:
        return self._last_cwd

    @property
    def busy(self) -> bool:
        return bool(self.background.alive)

    def branch(self) -> "Shell":
        """Another one, beginning in the folder of this one."""
        return Shell(self.folder(), self._environment, self._spool, self._steps)

    async def run(self, command: str, seconds: float, activity: Callable[[], None]) -> str:
        """What the model reads of the command. Raises OSError when there is no bash."""
        async with self._turn:
            output = self._spool.new_path()
            ended = await self._run(command, output, seconds, activity)
        text, _ = await asyncio.to_thread(read_output, output)
        return "\n".join(part for part in (text, _story(ended, output)) if part) or "(no output)"

    async def start(self, running: Running) -> Job:
        """In the background: in the shell's folder, with its variables and functions as they are
        now. Raises OSError when there is no bash."""
        async with self._turn:
            state = await self._state()
        script = await self._script(running.command)
        before = "".join(f". {shlex.quote(str(path))} >/dev/null 2>&1; " for path in state)
        text = f"{before}. {shlex.quote(str(script))}"
        words = ("bash", "--noprofile", "--norc", "-c", text)
        order = Order(
            running.command,
            words,
            self.folder(),
            self._environment,
            self._spool.new_path(),
            running.seconds,
            running.notify,
        )
        with contextlib.ExitStack() as undo:
            self._spool.hold(order.output)
            undo.callback(self._spool.let_go, order.output)
            job = await self.background.start(order)
            undo.pop_all()
        return job

    async def restart(self) -> None:
        if self._bash is not None:
            await self._bash.close()
            self._bash = None

    def take_notes(self) -> tuple[str, ...]:
        return self.background.take_notes()

    def on_wake(self, wake: Callable[[], None]) -> None:
        self.background.wake = wake

    async def reset(self) -> None:
        """A new conversation begins in the group's folder; background commands go on."""
        await self.restart()
        self._last_cwd = self._home

    async def close(self) -> None:
        await self.background.close()
        await self.restart()

    def folder(self) -> Path:
        """The last one, unless it is gone."""
        places = (self._last_cwd, self._home)
        return next((path for path in places if _is_folder(path)), Path("/"))

    async def _run(
        self, command: str, output: Path, seconds: float, activity: Callable[[], None]
    ) -> Ended:
        bash = await self._ready()
        script = await self._script(command)
        try:
            return await bash.run(script, output, seconds, activity)
        finally:
            self._last_cwd = bash.cwd
            script.unlink(missing_ok=True)

    async def _state(self) -> tuple[Path, ...]:
        """What a new bash has to read in order to be like ours; nothing if ours is none."""
        if self._bash is None or not self._bash.usable:
            return ()
        script, state = await self._script(_STATE), self._spool.new_path(".sh")
        try:
            ended = await self._bash.run(
                script, state, STATE_SECONDS, lambda: None, MAX_STATE_BYTES
            )
        finally:
            script.unlink(missing_ok=True)
        return (state,) if ended.status == 0 else ()

    async def _ready(self) -> Bash:
        if self._bash is not None and not self._bash.usable:
            await self.restart()
        if self._bash is None:
            self._bash = Bash(self.folder(), self._environment, self._steps)
        return self._bash

    async def _script(self, command: str) -> Path:
        path = self._spool.new_path(".sh")
        await asyncio.to_thread(_write_private, path, command)
        return path


def _story(ended: Ended, output: Path) -> str:
    """What the output does not say, in brackets; empty when it says all."""
    if ended.status is None:
        code = "" if ended.code is None else f" with status {ended.code}"
        reason = ended.why or f"the shell itself ended{code}"
        return f"[{reason}; a new shell starts in the same folder, without its variables]"
    notes = []
    if ended.why:
        notes.append(f"[the command was ended because {ended.why}]")
    elif ended.status != 0:
        notes.append(f"[exit status {ended.status}]")
    if ended.goes_on:
        notes.append(f"[something it started goes on; what that prints goes to {output}]")
    return "\n".join(notes)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(text.encode("utf-8", "replace") + b"\n")


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.is_dir()
    return False
