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
from runner.tools.shell.shell import Shell

DEFAULT_MS = 120_000
MAX_MS = 600_000
MAX_BACKGROUND_MS = 3_600_000
MAX_WAIT_MS = 30_000

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
        "programs); waits for its end if asked to, or ends it."
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
        "required": ["id"],
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
        seconds = _milliseconds(arguments) / 1000
        try:
            if not arguments.get("run_in_background"):
                return text_result(await self._shell.run(command, seconds, call.activity))
            if len(self._shell.background.alive) >= MAX_ALIVE:
                return error_result(
                    f"{MAX_ALIVE} background commands run already; end one with bash_output"
                )
            notify = bool(arguments.get("notify"))
            job = await self._shell.start(command, seconds, notify=notify)
        except OSError as error:
            return error_result(f"no shell can be started here: {error}")
        return text_result(f"Started in the background as {job.name}; output: {job.output}")


class BashOutputTool:
    spec = _OUTPUT

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return _wait_seconds(arguments) + 5

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        job = self._shell.background.find(str(arguments.get("id")))
        if job is None:
            known = self._shell.background.names()
            return error_result(f"there is no background command {arguments.get('id')}: {known}")
        if arguments.get("kill"):
            await self._shell.background.end(job, "it was stopped")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_wait_seconds(arguments)):
                await job.ended.wait()
        call.activity()
        state = "still running" if job.status is None else f"ended with status {job.status}"
        text = await asyncio.to_thread(job.news)
        return text_result(f"{text}\n[{job.name}: {state}]".lstrip())


def _milliseconds(arguments: Arguments) -> int:
    background = bool(arguments.get("run_in_background"))
    highest = MAX_BACKGROUND_MS if background else MAX_MS
    given = arguments.get("timeout_ms")
    if not isinstance(given, int | float) or given <= 0:
        return highest if background else DEFAULT_MS
    return int(min(given, highest))


def _wait_seconds(arguments: Arguments) -> float:
    given = arguments.get("wait_ms")
    return min(given, MAX_WAIT_MS) / 1000 if isinstance(given, int | float) and given > 0 else 0.001
