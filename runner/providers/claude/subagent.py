"""The tool ``task``: a sub-agent with a context of its own (R-257).

Run by ``toolrun`` beside others, at most four at once. It has the parent's instructions without the
destinations, and the parent's tools without those that reach people or start sub-agents. Its
conversation is in memory; a transcript is left for people to read. It ends with the call that
started it, by its limits, or by cancellation.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from runner.errors import ProviderError
from runner.log import fields
from runner.providers.base import Event
from runner.providers.claude.caching import Markers
from runner.providers.claude.calls import ModelCalls
from runner.providers.claude.client import ApiRequest
from runner.providers.claude.decide import (
    CompactAndRetry,
    ContinueTruncated,
    Counters,
    Fail,
    Finish,
    Refused,
    Resume,
    RunTools,
    decide_answer,
)
from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.head import Head, HeadBuilder
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.mainline import ADDENDUM
from runner.providers.claude.message import Block, Response
from runner.providers.claude.records import Message
from runner.providers.claude.repair import result_block
from runner.providers.claude.request import RequestPlan, build_request, note_block
from runner.providers.claude.toolrun import CUT_OFF, TASK, TASK_NAMES, ToolRunner, in_order
from runner.providers.claude.transcript import Transcript
from runner.providers.claude.usage import UsageKind
from runner.toolbox.base import (
    Toolbox,
    ToolResult,
    ToolSpec,
    ToolUse,
    error_result,
    text_result,
)

_log = logging.getLogger(__name__)

MAX_AT_ONCE = 4
MAX_CALLS = 60
MAX_SECONDS = 20 * 60.0
MAX_RESULT_CHARACTERS = 20_000
MAX_PROMPT_CHARACTERS = 200_000
_GO_ON = "Your answer was cut off at its length limit. Continue where you stopped."
_LAST_CALL = "The limit of this task is reached. Report now what you found, without using tools."
_NEVER = frozenset({TASK, "ask_user_question", "todo_write"})
"""``todo_write`` would replace the list of the parent."""
_SENDS = re.compile(r"send_\w+")

SPEC = ToolSpec(
    name=TASK,
    description=(
        "Starts a sub-agent for a self-contained piece of work and waits for its report (in other "
        "programs this tool is called Task). It sees nothing of this conversation: put everything "
        "it needs into the prompt, and say what the report is to contain. It can use files, shell "
        "and web, but cannot send messages or ask people. Several tasks in one answer run side by "
        "side. Good for searching widely, reading much, or trying things out without filling this "
        "conversation."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "description": {"type": "string", "description": "three to seven words for the log"},
            "prompt": {"type": "string", "description": "the whole task"},
            "model": {
                "type": "string",
                "description": "another model, for example haiku for simple work",
            },
            "tools": {
                "type": "string",
                "enum": ["all", "read_only"],
                "description": "read_only: it can look but not change anything",
            },
        },
        "required": ["description", "prompt"],
        "additionalProperties": False,
    },
    aliases=("Task",),
)


class BadTaskError(Exception):
    """The arguments are wrong; says which and how they should be."""


@dataclass(frozen=True, slots=True)
class TaskRequest:
    description: str
    prompt: str
    model: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class SubAgentLimits:
    calls: int = MAX_CALLS
    seconds: float = MAX_SECONDS
    at_once: int = MAX_AT_ONCE


@dataclass(frozen=True, slots=True)
class SubAgentParts:
    """``transcript`` makes the file of one more sub-agent of this conversation."""

    builder: HeadBuilder
    calls: ModelCalls
    features: FeatureSet
    toolbox: Toolbox
    ledger: Ledger
    transcript: Callable[[], Transcript]
    limits: SubAgentLimits = SubAgentLimits()


class SubAgents:
    """A ``TaskRunner``; one per stream."""

    def __init__(self, parts: SubAgentParts) -> None:
        self._parts = parts
        self._room = asyncio.Semaphore(parts.limits.at_once)

    async def run_task(self, use: ToolUse, activity: Callable[[], None]) -> ToolResult:
        try:
            request = read_task(use.arguments)
        except BadTaskError as error:
            return error_result(str(error))
        async with self._room:
            _log.info("sub-agent begins", extra=fields(reason=request.description[:100]))
            limits, toolbox = self._parts.limits, self._parts.toolbox
            try:
                async with toolbox.at_work(TASK, limits.seconds), asyncio.timeout(limits.seconds):
                    return await self._work(request, activity)
            except TimeoutError:
                minutes = self._parts.limits.seconds / 60
                return error_result(f"the task was ended after {minutes:.0f} minutes")
            except ProviderError as error:
                _log.warning("sub-agent failed", extra=fields(reason=error))
                return error_result(f"the task failed ({error.trouble}): {error.detail[:300]}")

    async def _work(self, request: TaskRequest, activity: Callable[[], None]) -> ToolResult:
        parts = self._parts
        names = allowed_names(await parts.toolbox.specs(), read_only=request.read_only)
        head = await parts.builder.build(request.model)
        transcript = await asyncio.to_thread(parts.transcript)
        toolbox = parts.toolbox.subset(names)
        agent = SubAgent(parts, restricted(head, names), ToolRunner(toolbox), transcript)
        try:
            return await agent.run(request, activity)
        finally:
            transcript.close()
            await toolbox.close()


class SubAgent:
    """One task. A ``Caller``."""

    def __init__(
        self, parts: SubAgentParts, head: Head, tools: ToolRunner, transcript: Transcript
    ) -> None:
        self._parts = parts
        self._head = head
        self._tools = tools
        self._transcript = transcript
        self._messages: list[Message] = []
        self._counters = Counters(calls=0)
        self._final = False

    async def run(self, task: TaskRequest, activity: Callable[[], None]) -> ToolResult:
        def emit(_: Event) -> None:
            activity()

        self._say("user", [{"type": "text", "text": task.prompt}])
        while True:
            self._parts.ledger.check_day()
            called = await self._parts.calls.call(self, emit)
            await self._parts.ledger.note(called, UsageKind.SUBAGENT)
            result = await self._act(called.response, activity)
            if result is not None:
                return result

    async def _act(self, response: Response, activity: Callable[[], None]) -> ToolResult | None:
        self._count(response.stop_reason)
        decision = decide_answer(
            response.stop_reason, response.content, self._counters, response.stop_details
        )
        match decision:
            case RunTools(calls) if not self._final:
                self._keep(response)
                results: dict[str, Block] = {}
                await self._tools.run(calls, response.broken_calls, results, activity)
                self._answer(in_order(calls, results))
            case ContinueTruncated(cut_calls) if not self._final:
                self._keep(response)
                cut = [result_block(call, CUT_OFF, is_error=True) for call in cut_calls]
                self._answer(cut or [note_block(_GO_ON)])
            case Resume():
                self._keep(response)
            case Finish() | RunTools() | ContinueTruncated():
                self._keep(response)
                return report(response.text)
            case Refused(_, explanation):
                return error_result(f"the task was declined by the safety system. {explanation}")
            case CompactAndRetry():
                return error_result("the task filled its whole context; split it into smaller ones")
            case Fail(trouble, reason):
                return error_result(f"the task failed ({trouble}): {reason}")
        return None

    def request(self) -> ApiRequest:
        plan = RequestPlan(
            prefix=self._head.prefix,
            messages=self._messages,
            max_tokens=self._head.max_tokens,
            markers=Markers(),
            final=self._final,
        )
        return build_request(plan, self._parts.features)

    async def lost(self, feature: Feature) -> None:
        """Its tools go away with the next request; nothing takes their place here."""

    async def fall_back(self) -> bool:
        return False

    def _count(self, stop_reason: str | None) -> None:
        old = self._counters
        cut = stop_reason not in ("tool_use", "pause_turn")
        self._counters = Counters(
            calls=old.calls + 1,
            pauses=old.pauses + 1 if stop_reason == "pause_turn" else 0,
            truncations=old.truncations + 1 if cut else 0,
            window_exceeded=2,  # never compacted, so the first time is the last
        )

    def _answer(self, blocks: list[Block]) -> None:
        if self._counters.calls >= self._parts.limits.calls - 1:
            self._final = True
            blocks.append(note_block(_LAST_CALL))
        self._say("user", blocks)

    def _keep(self, response: Response) -> None:
        if response.content:
            self._say("assistant", list(response.content))

    def _say(self, role: str, blocks: list[Block]) -> None:
        message: Message = {"role": role, "content": blocks}
        self._messages.append(message)
        self._transcript.add(message)


def read_task(arguments: object) -> TaskRequest:
    """Raises BadTaskError."""
    if not isinstance(arguments, dict):
        raise BadTaskError("the arguments must be an object with description and prompt")
    description, prompt = arguments.get("description", ""), arguments.get("prompt")
    model, tools = arguments.get("model"), arguments.get("tools", "all")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadTaskError("prompt must be the text of the task")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise BadTaskError(f"prompt may have {MAX_PROMPT_CHARACTERS} characters; use a file")
    if not isinstance(description, str):
        raise BadTaskError("description must be a text")
    if not isinstance(model, str | None):
        raise BadTaskError("model must be a name, for example haiku")
    if tools not in ("all", "read_only"):
        raise BadTaskError("tools must be all or read_only")
    return TaskRequest(description, prompt, model or None, tools == "read_only")


def allowed_names(specs: tuple[ToolSpec, ...], *, read_only: bool) -> frozenset[str]:
    """What a sub-agent may use."""
    known = [one for spec in specs for one in (spec, *spec.listed)]
    return frozenset(
        spec.name for spec in known if _is_allowed(spec.name) and (spec.read_only or not read_only)
    )


def restricted(head: Head, names: frozenset[str]) -> Head:
    """Without the destinations, and with the allowed tools and the server's."""
    prefix = head.prefix
    pairs = [
        (block, label)
        for block, label in zip(prefix.system, prefix.labels, strict=True)
        if label != ADDENDUM
    ]
    tools = tuple(tool for tool in prefix.tools if "type" in tool or tool["name"] in names)
    system, labels = tuple(block for block, _ in pairs), tuple(label for _, label in pairs)
    return replace(head, prefix=replace(prefix, system=system, labels=labels, tools=tools))


def report(text: str) -> ToolResult:
    """The final text, shortened; never nothing."""
    if not text.strip():
        return text_result("(the sub-agent ended without a report)")
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text_result(text)
    return text_result(f"{text[:MAX_RESULT_CHARACTERS]}\n[cut: the report was longer]")


def _is_allowed(name: str) -> bool:
    base = name.rpartition("__")[2]
    return name not in TASK_NAMES and base not in _NEVER and not _SENDS.fullmatch(base)
