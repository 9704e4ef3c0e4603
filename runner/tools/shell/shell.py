"""The agent's shell as a whole: the bash in front and the commands behind it.

Made by ``equipment``; used by the tools ``bash`` and ``bash_output``. The bash starts with its
first command and again whenever it has ended.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.tools.shell.background import Background, Job
from runner.tools.shell.output import read_output
from runner.tools.shell.session import Bash, Ended, shell_environment
from runner.tools.spool import Spool


class Shell:
    """See ``Resident`` in ``runner.toolbox.source``."""

    def __init__(self, cwd: Path, environment: Mapping[str, str], spool: Spool) -> None:
        self._home = cwd
        self._environment = shell_environment(environment)
        self._spool = spool
        self._bash: Bash | None = None
        self._last_cwd = cwd
        self._turn = asyncio.Lock()
        self.background = Background()

    @property
    def cwd(self) -> Path:
        return self._last_cwd

    @property
    def busy(self) -> bool:
        return bool(self.background.alive)

    async def run(self, command: str, seconds: float, activity: Callable[[], None]) -> str:
        """What the model reads of the command. Raises OSError when there is no bash."""
        async with self._turn:
            bash = await self._ready()
            script, output = self._spool.new_path(".sh"), self._spool.new_path()
            await asyncio.to_thread(_write_private, script, command)
            await asyncio.to_thread(_write_private, output, "")
            try:
                ended = await bash.run(script, output, seconds, activity)
            finally:
                self._last_cwd = bash.cwd
                script.unlink(missing_ok=True)
        text = await asyncio.to_thread(read_output, output)
        return "\n".join(part for part in (text, _story(ended)) if part) or "(no output)"

    async def start(self, command: str, seconds: float, *, notify: bool) -> Job:
        """In the background, in the shell's folder. Raises OSError when there is no bash."""
        output = self._spool.new_path()
        await asyncio.to_thread(_write_private, output, "")
        with output.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                "bash", "--noprofile", "--norc", "-c", command,
                cwd=self._folder(), env=self._environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        return self.background.add(command, output, process, seconds, notify=notify)

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

    async def _ready(self) -> Bash:
        if self._bash is not None and not self._bash.alive:
            await self.restart()
        if self._bash is None:
            self._bash = Bash(self._folder(), self._environment)
        return self._bash

    def _folder(self) -> Path:
        """The last one, unless it is gone."""
        return next((path for path in (self._last_cwd, self._home) if path.is_dir()), Path("/"))


def _story(ended: Ended) -> str:
    if ended.status is None:
        reason = ended.why or "the shell itself ended"
        return f"[{reason}; a new shell starts in the same folder, without its variables]"
    if ended.why:
        return f"[the command was ended because {ended.why}]"
    return "" if ended.status == 0 else f"[exit status {ended.status}]"


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text + "\n" if text else "", errors="replace")
