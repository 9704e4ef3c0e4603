"""One bash that stays: folder, variables and functions live on from command to command (R-252).

A command is a file that the shell reads; its output goes to another file, and that it has ended is
told through a pipe of its own, so that no output can be mistaken for it. A shell that does not come
back is replaced by a new one in the same folder.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.tools.shell.processes import descendants, end_below, signal_all

HIDDEN = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
ADDED = {
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "PAGER": "cat",
    "TERM": "dumb",
}
LOOK_SECONDS = 0.2
MAX_OUTPUT_BYTES = 50 * 1024 * 1024
_MAX_REPORT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """``status`` None: the shell itself ended. ``why`` says what ended the command, if we did."""

    status: int | None
    why: str = ""


def shell_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What commands see: everything but what could be mistaken for a key."""
    kept = {key: value for key, value in environment.items() if key not in HIDDEN}
    return {**kept, **ADDED}


class Bash:
    """One process; ``run`` is called by one caller at a time. Raises OSError without a bash."""

    def __init__(self, cwd: Path, environment: Mapping[str, str]) -> None:
        self.cwd = cwd
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
        asyncio.get_running_loop().add_reader(reader, self._read)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def run(
        self, script: Path, output: Path, seconds: float, activity: Callable[[], None]
    ) -> Ended:
        """Runs the file's text in the shell. Cancelled: the command is ended, the shell stays."""
        token = secrets.token_hex(8)
        report = f'printf "%s %d %s\\n" {token} $? "$PWD" >&{self._writer}'
        command = (
            f"{{ . {shlex.quote(str(script))}; }} >{shlex.quote(str(output))} 2>&1 </dev/null "
            f"{self._writer}>&-; {report}\n"
        )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode())
            self._process.stdin.flush()
        except OSError:
            return Ended(None)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            while True:
                if (status := self._status_of(token)) is not None:
                    return Ended(status)
                if not self.alive:
                    return Ended(None)
                if loop.time() >= deadline:
                    return await self._end(token, f"it took longer than {seconds:g} s")
                if _size(output) > MAX_OUTPUT_BYTES:
                    return await self._end(token, "its output was over 50 MB")
                activity()
                await self._wait(min(LOOK_SECONDS, deadline - loop.time()))
        except asyncio.CancelledError:
            await self._end(token, "it was stopped")
            raise

    async def close(self) -> None:
        """Ends the shell and all that it has started."""
        with contextlib.suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._reader)
            os.close(self._reader)
        below = descendants(self._process.pid)
        signal_all([*below, self._process.pid], 9)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, 2)

    async def _end(self, token: str, why: str) -> Ended:
        await end_below(self._process.pid)
        await self._wait(1.0)
        status = self._status_of(token)
        if status is None:  # a loop of the shell itself, or a command that cannot be ended
            signal_all([self._process.pid], 9)
            await self._wait(1.0)
        return Ended(status, why)

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
        if not data:
            asyncio.get_running_loop().remove_reader(self._reader)
        self._reports = (self._reports + data)[-_MAX_REPORT_BYTES:]
        self._changed.set()

    def _status_of(self, token: str) -> int | None:
        """The status that was reported under this token; the folder is remembered with it."""
        for line in self._reports.decode("utf-8", "surrogateescape").split("\n")[:-1]:
            name, _, rest = line.partition(" ")
            status, _, folder = rest.partition(" ")
            if name == token and status.isdigit():
                self.cwd = Path(folder)
                self._reports = b""
                return int(status)
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
