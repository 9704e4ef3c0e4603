"""The ``ncl`` command as a tool (R-185), for agents without a shell at hand.

The shell command is the contract that instructions and skills use; this one takes the same words
and gives the same text, and neither blocks the loop nor starts a process.
"""

import asyncio
import shlex

from contract.actions import CliRequest
from contract.errors import BadContent
from contract.ids import new_id
from contract.inbound.lookup import RESPONSE_PREFIX
from contract.inbound.row import InboundRow, MessageKind
from contract.ncl_answer import DONE, render
from contract.ncl_words import Typed
from contract.table import Look
from runner.desk.desk import Desk
from runner.desk.errand import Errand, Letter
from runner.ncl_client.grammar import USAGE, parse_words
from runner.ncl_client.transport import TIMEOUT_SECONDS, parse_frame
from runner.toolbox.base import ToolCall, ToolResult, ToolSpec, error_result, text_result
from runner.tools.nanoclaw.base import NanoclawTool, object_schema, string
from runner.tools.nanoclaw.given import BadArgumentError, Given

POLL_SECONDS = 0.3
MAX_COMMAND_BYTES = 64 * 1024
MAX_RESULT = 30_000
"""Characters; the same bound as that of a shell command's output."""


def admin_tool(desk: Desk, seconds: float = TIMEOUT_SECONDS) -> NanoclawTool:
    return NanoclawTool(
        ToolSpec(
            "ncl",
            "Ask the host about this installation, or ask it for a change, within what you may "
            "see and do. Start with the command 'help'. Changes may need an administrator's "
            "approval: the result then arrives later as a message.",
            object_schema(
                {"command": string("Resource, verb and flags, such as 'groups config get'.")},
                ("command",),
            ),
        ),
        _Admin(desk, seconds).run,
    )


class _Admin:
    def __init__(self, desk: Desk, seconds: float) -> None:
        self._desk = desk
        self._seconds = seconds

    async def run(self, given: Given, call: ToolCall) -> ToolResult:
        typed = _typed(given.text("command", MAX_COMMAND_BYTES))
        if typed.help:
            return text_result(USAGE)
        if typed.problem:
            raise BadArgumentError(f"'command': {typed.problem}")
        if not typed.command:
            raise BadArgumentError(f"'command' has only flags. {USAGE}")
        request_id = new_id("cli")
        action = CliRequest(
            request_id=request_id,
            command=typed.command,
            args=typed.args,
            extra={"positionals": list(typed.positionals)},
        )
        letter = Letter(request_id, action, MessageKind.SYSTEM)
        with self._desk.awaiting(request_id):
            # Without the call's id: only the answer is what the call has done.
            await self._desk.write(Errand((letter,), lambda _: ""), "")
            row = await self._wait(request_id, call)
            answer_id = RESPONSE_PREFIX + request_id if row is None else row.id
            result = self._result(row, typed)
            settle = Errand((), lambda _: result.text, settles=(answer_id,))
            await self._desk.write(settle, call.id)
        return result

    async def _wait(self, request_id: str, call: ToolCall) -> InboundRow | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        while (row := await self._desk.find_frame(request_id)) is None:
            left = deadline - loop.time()
            if left <= 0:
                return None
            call.activity()
            await asyncio.sleep(min(POLL_SECONDS, left))
        return row

    def _result(self, row: InboundRow | None, typed: Typed) -> ToolResult:
        if row is None:
            return error_result(f"timed out: no answer of the host in {self._seconds:.0f} seconds")
        try:
            output = render(parse_frame(row.content), typed, Look())
        except BadContent as error:
            return error_result(str(error))
        text = output.text[:MAX_RESULT]
        return text_result(text) if output.status == DONE else error_result(text)


def _typed(command: str) -> Typed:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadArgumentError(f"'command' cannot be split into words: {error}") from error
    return parse_words(words[1:] if words[:1] == ["ncl"] else words)
