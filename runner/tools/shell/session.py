"""One bash that stays: folder, variables and functions live on from command to command (R-252).

A command is a file that the shell reads. Its output comes through a pipe of its own and goes to a
file; that it has ended is told through a third way, so that no output can be mistaken for it. A
shell that does not come back is replaced by a new one in the same folder.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runner.tools.shell.processes import (
    STEPS,
    Process,
    Steps,
    below,
    end_below,
    signal_all,
)
from runner.tools.shell.pump import MAX_OUTPUT_BYTES, Pump

HIDDEN = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
STARTS = ("BASH_ENV", "ENV")
"""Name files that a shell would run before its commands; there are to be none."""
ADDED = {
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "PAGER": "cat",
    "TERM": "dumb",
}
LOOK_SECONDS = 1.0
"""How often a shell that says nothing is looked at; its reports come by themselves."""
ANSWER_SECONDS = 1.0
"""For a shell to report when its command was ended."""
MAX_LEFT_BEHIND = 16
"""Outputs of processes that outlive their command; the oldest ones are closed."""
_MAX_REPORT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """``status`` None: the shell itself ended, with ``code`` if that is known. ``why`` says what
    ended the command, if we did; ``goes_on``: something still writes to its output."""

    status: int | None
    why: str = ""
    code: int | None = None
    goes_on: bool = False


def shell_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What commands see: everything but what could be mistaken for a key."""
    kept = {key: value for key, value in environment.items() if key not in HIDDEN + STARTS}
    return {**kept, **ADDED}


class Bash:
    """One process; ``run`` is called by one caller at a time. Raises OSError without a bash."""

    def __init__(self, cwd: Path, environment: Mapping[str, str], steps: Steps = STEPS) -> None:
        self.cwd = cwd
        self._steps = steps
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(writer,),
            )
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._writer = writer
        self._reader = reader
        os.set_blocking(reader, False)
        self._reports = b""
        self._changed = asyncio.Event()
        self._left_behind: list[Pump] = []
        self._in_doubt = False
        asyncio.get_running_loop().add_reader(reader, self._read)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def usable(self) -> bool:
        """Not when a command may still be running in it that nobody waits for any more."""
        return self.alive and not self._in_doubt

    async def run(
        self,
        script: Path,
        output: Path,
        seconds: float,
        activity: Callable[[], None],
        limit: int = MAX_OUTPUT_BYTES,
    ) -> Ended:
        """Runs the file's text in the shell; ``output`` must not exist. Cancelled: the command is
        ended, the shell stays."""
        pump = Pump(output, activity, limit)
        pump.on_full = self._changed.set
        self._in_doubt = True
        try:
            ended = await self._command(script, pump, seconds, activity)
        finally:
            goes_on = self._leave_behind(pump)
        return replace(ended, goes_on=goes_on)

    async def close(self) -> None:
        """Ends the shell and all that it has started."""
        if self._reader >= 0:
            asyncio.get_running_loop().remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1
        children = below(self._process.pid)
        self._process.kill()
        signal_all(children, signal.SIGKILL)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        for pump in self._left_behind:
            pump.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, 2)

    async def _command(
        self, script: Path, pump: Pump, seconds: float, activity: Callable[[], None]
    ) -> Ended:
        older = frozenset(below(self._process.pid))
        token = secrets.token_hex(8)
        # Opened by the name of our own descriptor: a pipe that nobody else can find.
        command = (
            f"{{ . {shlex.quote(str(script))}; }} "
            f">/proc/{os.getpid()}/fd/{pump.writer} 2>&1 </dev/null {self._writer}>&-; "
            f"builtin printf '\\0%s %d %s\\0' {token} $? \"$PWD\" >&{self._writer}\n"
        )
        if not self._say(command):
            return Ended(None, code=self._process.poll())
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        try:
            while True:
                if (status := self._status_of(token)) is not None:
                    return Ended(status)
                if not self.alive:
                    return Ended(None, code=self._process.poll())
                if pump.problem:
                    return await self._end(token, pump.problem, older)
                if clock() >= deadline:
                    return await self._end(token, f"it took longer than {seconds:g} s", older)
                activity()
                await self._wait(min(LOOK_SECONDS, deadline - clock()))
        except asyncio.CancelledError:
            await self._end(token, "it was stopped", older)
            raise

    def _say(self, command: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode())
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    async def _end(self, token: str, why: str, older: frozenset[Process]) -> Ended:
        clock = asyncio.get_running_loop().time
        await end_below(self._process.pid, older, self._steps)
        deadline = clock() + ANSWER_SECONDS
        while (status := self._status_of(token)) is None and self.alive and clock() < deadline:
            await self._wait(ANSWER_SECONDS / 10)
            # One that the shell was just about to start when we looked.
            await end_below(self._process.pid, older, self._steps)
        if status is None:  # a loop of the shell itself, or a command that cannot be ended
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.kill()
                await asyncio.to_thread(self._process.wait, 2)
        return Ended(status, why)

    def _leave_behind(self, pump: Pump) -> bool:
        """Whether something still writes; it may go on until the output is full."""
        pump.release()
        pump.drain()
        if pump.problem or pump.closed:
            pump.close()
            return False
        pump.on_full = pump.close
        self._left_behind = [old for old in self._left_behind if not old.closed]
        self._left_behind.append(pump)
        for old in self._left_behind[:-MAX_LEFT_BEHIND]:
            old.close()
        return True

    async def _wait(self, seconds: float) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.01)):
                await self._changed.wait()

    def _read(self) -> None:
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the shell ended
            asyncio.get_running_loop().remove_reader(self._reader)
        self._reports = (self._reports + data)[-_MAX_REPORT_BYTES:]
        self._changed.set()

    def _status_of(self, token: str) -> int | None:
        """The status that was reported under this token; the folder is remembered with it."""
        for report in self._reports.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            name, _, rest = report.partition(" ")
            status, _, folder = rest.partition(" ")
            if name == token and status.isdigit():
                self.cwd = Path(folder)
                self._reports = b""
                self._in_doubt = False
                return int(status)
        return None
