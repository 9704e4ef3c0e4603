"""The tools ``bash`` and ``bash_output`` (R-248, R-252)."""

import asyncio
import contextlib

from runner.toolbox.base import (
    Arguments,
    Tool,
    ToolCall,
    ToolResult,
    ToolSpec,
    error_result,
    text_result,
)
from runner.tools.shell.background import MAX_ALIVE
from runner.tools.shell.shell import Running, Shell

DEFAULT_MS = 120_000
MAX_MS = 600_000
MAX_BACKGROUND_MS = 3_600_000
MAX_WAIT_MS = 30_000
START_SECONDS = 20.0
"""For a background command to begin, which may have to wait for the shell's variables."""
END_SECONDS = 15.0
"""To end a command that does not want to, and to tell what it printed."""

_BASH = ToolSpec(
    name="bash",
    description=(
        "Runs a command in a bash that keeps its folder, variables and functions between calls "
        "(Bash in other programs). Begins in your own folder. Output over 30,000 characters is "
        "shortened; the rest is in a file that is named. Commands get no input. Long ones go to "
        "the background: you get an id for bash_output and are told when they end; with notify "
        "that wakes you. restart starts a fresh shell."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "What to run."},
            "description": {"type": "string", "description": "In a few words, for the log."},
            "notify": {"type": "boolean", "description": "Wake me when it ends (background)."},
            "restart": {"type": "boolean", "description": "Start a fresh shell first."},
            "run_in_background": {"type": "boolean", "description": "Return at once."},
            "timeout_ms": {
                "type": "integer",
                "description": "Default 120000, at most 600000; 3600000 in the background.",
            },
        },
    },
    aliases=("Bash",),
)
_OUTPUT = ToolSpec(
    name="bash_output",
    description=(
        "New output and state of a background command (BashOutput, TaskOutput in other "
        "programs); waits for its end if asked to, or ends it. Without id: all of them."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "As bash gave it, for example bg-1."},
            "kill": {"type": "boolean", "description": "End it."},
            "wait_ms": {
                "type": "integer",
                "description": "Wait so long for its end, at most 30000.",
            },
        },
    },
    aliases=("BashOutput", "TaskOutput"),
)


def shell_tools(shell: Shell) -> tuple[Tool, ...]:
    return (BashTool(shell), BashOutputTool(shell))


class BashTool:
    spec = _BASH

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def declared_seconds(self, arguments: Arguments) -> float | None:
        """A command in the background has its own limit; the call that starts it is short."""
        if arguments.get("run_in_background"):
            return START_SECONDS
        return _milliseconds(arguments) / 1000

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        command = str(arguments.get("command") or "")
        if arguments.get("restart"):
            await self._shell.restart()
        if not command.strip():
            if arguments.get("restart"):
                return text_result("A fresh shell is ready.")
            return error_result("command is missing")
        if "\0" in command:
            return error_result("command must not contain a NUL character")
        try:
            if arguments.get("run_in_background"):
                return await self._start(command, arguments)
            seconds = _milliseconds(arguments) / 1000
            text = await self._shell.run(command, seconds, call.activity)
        except OSError as error:
            return error_result(f"no shell can be started here: {error}")
        return text_result(text + _lowered(arguments))

    async def _start(self, command: str, arguments: Arguments) -> ToolResult:
        if len(self._shell.background.alive) >= MAX_ALIVE:
            return error_result(
                f"{MAX_ALIVE} background commands run already; end one with bash_output"
            )
        notify = bool(arguments.get("notify"))
        job = await self._shell.start(Running(command, _milliseconds(arguments) / 1000, notify))
        return text_result(
            f"Started in the background as {job.name}; output: {job.order.output}"
            + _lowered(arguments)
        )


class BashOutputTool:
    spec = _OUTPUT

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return _wait_seconds(arguments) + END_SECONDS

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        name = arguments.get("id")
        if not name:
            return text_result(self._shell.background.table())
        job = self._shell.background.find(str(name))
        if job is None:
            known = self._shell.background.table()
            return error_result(f"there is no background command {name!r}; there are:\n{known}")
        if arguments.get("kill"):
            await self._shell.background.end(job, "it was stopped")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_wait_seconds(arguments)):
                await job.ended.wait()
        call.activity()
        text = await asyncio.to_thread(job.news)
        return text_result(f"{text}\n[{job.name}: {job.state}]".lstrip())


def _highest(arguments: Arguments) -> int:
    return MAX_BACKGROUND_MS if arguments.get("run_in_background") else MAX_MS


def _milliseconds(arguments: Arguments) -> int:
    highest = _highest(arguments)
    given = arguments.get("timeout_ms")
    if not isinstance(given, int | float) or given <= 0:
        return highest if arguments.get("run_in_background") else DEFAULT_MS
    return int(min(given, highest))


def _lowered(arguments: Arguments) -> str:
    given, highest = arguments.get("timeout_ms"), _highest(arguments)
    if isinstance(given, int | float) and given > highest:
        return f"\n[timeout_ms was lowered to {highest}, the highest there is]"
    return ""


def _wait_seconds(arguments: Arguments) -> float:
    given = arguments.get("wait_ms")
    return min(given, MAX_WAIT_MS) / 1000 if isinstance(given, int | float) and given > 0 else 0.001
