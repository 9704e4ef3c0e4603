"""Tools for tasks: schedule, list, cancel, pause, resume, update (R-163 to R-167).

The host keeps tasks as rows of ``inbound.db``; these tools read them there and ask for changes by
system rows. Whatever can be known here is said at once instead of in a later note of the host.
"""

from datetime import datetime, timedelta

from contract.actions import CancelTask, PauseTask, ResumeTask, ScheduleTask, UpdateTask
from contract.address import NOWHERE
from contract.clock import to_text, utc_now
from contract.content import TaskIn, parse_inbound
from contract.errors import BadContent
from contract.ids import new_id
from contract.inbound.row import DeliveredStatus, InboundRow, InboundStatus, MessageKind
from contract.recurrence import check_recurrence
from contract.shape import UNSET, Shape, Unset
from contract.zoned import local_text, parse_zoned
from runner.address_book import Placed, Resolved
from runner.desk.desk import Desk
from runner.desk.errand import Errand, Letter
from runner.toolbox.base import ToolCall, ToolResult, error_result, text_result
from runner.tools.nanoclaw.base import Handler
from runner.tools.nanoclaw.given import BadArgumentError, Given
from runner.zone import find_zone

MAX_AHEAD = timedelta(days=5 * 366)
MAX_PROMPT_BYTES = 64 * 1024
MAX_LISTED = 100
PREVIEW = 80
MAX_ZONE_BYTES = 64
CATCH_UP = ("latest", "all", "skip")
CONTEXTS = ("group", "isolated")
LIVE = (InboundStatus.PENDING, InboundStatus.PAUSED)

_NAMED: dict[str, type[CancelTask | PauseTask | ResumeTask]] = {
    "cancel_task": CancelTask,
    "pause_task": PauseTask,
    "resume_task": ResumeTask,
}


class TaskDesk:
    """Handlers; ``zone_name`` is the zone that people of this installation live in."""

    def __init__(self, desk: Desk, zone_name: str) -> None:
        self._desk = desk
        self._zone_name, self._zone = find_zone(zone_name)

    async def schedule(self, given: Given, call: ToolCall) -> ToolResult:
        prompt = given.text("prompt", MAX_PROMPT_BYTES)
        zone_name = given.optional_text("timezone", MAX_ZONE_BYTES) or None
        first = self._moment(given.text("processAfter", 100), zone_name)
        recurrence = _recurrence(given.optional_text("recurrence", 1000))
        script = given.optional_text("script", MAX_PROMPT_BYTES) or None
        placed = await self._place()
        task_id = new_id("task")
        action = ScheduleTask(
            task_id=task_id,
            prompt=prompt,
            script=script,
            process_after=to_text(first),
            recurrence=recurrence,
            platform_id=placed.address.platform_id,
            channel_type=placed.address.channel_type,
            thread_id=placed.address.thread_id,
            tz=zone_name,
            catch_up=_one_of(given, "catchUp", CATCH_UP),
            context=_one_of(given, "context", CONTEXTS),
        )
        repeats = f", repeating {recurrence!r}" if recurrence else ""
        late = " That time is past, so it runs at once." if first <= utc_now() else ""
        text = f"Task {task_id} scheduled for {self._shown(first)}{repeats}.{late}"
        letter = Letter(task_id, action, MessageKind.SYSTEM, placed.address)
        return text_result(await self._desk.write(Errand((letter,), lambda _: text), call.id))

    async def list(self, given: Given, call: ToolCall) -> ToolResult:
        del call
        wanted = given.optional_text("status")
        if wanted and wanted not in LIVE:
            raise BadArgumentError("'status' must be 'pending' or 'paused'")
        tasks = [task for task in await self._desk.tasks() if not wanted or task.status == wanted]
        if not tasks:
            return text_result(f"There are no {wanted} tasks." if wanted else "There are no tasks.")
        lines = [self._line(task) for task in tasks[:MAX_LISTED]]
        if len(tasks) > MAX_LISTED:
            lines.append(f"... and {len(tasks) - MAX_LISTED} more")
        return text_result("\n".join(lines))

    def by_id(self, tool: str) -> Handler:
        """The handler of cancel_task, pause_task and resume_task."""

        async def handle(given: Given, call: ToolCall) -> ToolResult:
            task_id = await self._live(given.text("taskId", 256))
            action = _NAMED[tool](task_id=task_id)
            return await self._ask(action, f"{tool} requested for {task_id}.", call)

        return handle

    async def update(self, given: Given, call: ToolCall) -> ToolResult:
        task_id = given.text("taskId", 256)
        action = UpdateTask(
            task_id=task_id,
            prompt=given.text("prompt", MAX_PROMPT_BYTES) if given.has("prompt") else UNSET,
            process_after=self._new_moment(given),
            recurrence=_new_recurrence(given),
            script=_cleared(given, "script", MAX_PROMPT_BYTES),
        )
        changes = (action.prompt, action.process_after, action.recurrence, action.script)
        if all(change is UNSET for change in changes):
            return error_result(
                "nothing to update: give prompt, processAfter, recurrence or script"
            )
        await self._live(task_id)
        return await self._ask(action, f"update_task requested for {task_id}.", call)

    async def _ask(self, action: Shape, text: str, call: ToolCall) -> ToolResult:
        letter = Letter(new_id("sys"), action, MessageKind.SYSTEM)
        return text_result(await self._desk.write(Errand((letter,), lambda _: text), call.id))

    async def _place(self) -> Placed:
        """Where the task's results belong: the chat being answered, also that of another task."""
        batch = await self._desk.batch()
        found = await self._desk.resolve(None, batch)
        return found.placed if isinstance(found, Resolved) else Placed(NOWHERE, None)

    async def _live(self, task_id: str) -> str:
        """The id, if a change of this task can have an effect; raises BadArgumentError."""
        task = await self._desk.find_task(task_id)
        if task is None:
            # Asked for a moment ago and not taken over yet, or in a conversation of its own.
            if await self._desk.has_written(task_id):
                mark = await self._desk.find_delivered(task_id)
                if mark is None or mark.status is DeliveredStatus.DELIVERED:
                    return task_id
            raise BadArgumentError(f"there is no task {task_id!r}; list_tasks shows their ids")
        if task.status not in LIVE:
            raise BadArgumentError(f"task {task_id} is over; list_tasks shows those that are not")
        return task_id

    def _moment(self, text: str, zone_name: str | None = None) -> datetime:
        name, zone = find_zone(zone_name) if zone_name else (self._zone_name, self._zone)
        if zone_name not in (None, name):
            raise BadArgumentError(f"'timezone' {zone_name!r} is no IANA zone like Europe/Berlin")
        moment = parse_zoned(text, zone)
        if moment is None:
            raise BadArgumentError(
                f"'processAfter' {text[:100]!r} is not a time; write it like 2026-01-15T09:00 (in "
                f"{name}) or with Z or an offset at the end"
            )
        if moment - utc_now() > MAX_AHEAD:
            raise BadArgumentError("'processAfter' is more than five years ahead")
        return moment

    def _new_moment(self, given: Given) -> str | Unset:
        if not given.has("processAfter"):
            return UNSET
        return to_text(self._moment(given.text("processAfter", 100)))

    def _shown(self, moment: datetime) -> str:
        return f"{to_text(moment)} ({local_text(moment, self._zone)}, {self._zone_name})"

    def _line(self, task: InboundRow) -> str:
        due = task.process_after
        when = f"next {self._shown(due)}" if due is not None and due > utc_now() else "due now"
        notes = [f"repeats {task.recurrence!r}"] if task.recurrence else []
        prompt, script = _task_words(task)
        notes += ["with script"] if script else []
        extra = "".join(f", {note}" for note in notes)
        return f"- {task.series_id} [{task.status}] {when}{extra}: {prompt}"


def _task_words(task: InboundRow) -> tuple[str, bool]:
    """The beginning of the prompt in one line, and whether there is a script."""
    try:
        content = parse_inbound(task.kind, task.content)
    except BadContent:
        return "(unreadable)", False
    if not isinstance(content, TaskIn):
        return "(unreadable)", False
    return " ".join(content.prompt[: PREVIEW * 4].split())[:PREVIEW], bool(content.script)


def _recurrence(text: str | None) -> str | None:
    """Blank means none (H-255); raises BadArgumentError."""
    if text is None or not text.strip():
        return None
    try:
        return check_recurrence(text)
    except BadContent as error:
        raise BadArgumentError(f"'recurrence' {text[:100]!r}: {error}") from error


def _new_recurrence(given: Given) -> str | Unset | None:
    text = given.optional_text("recurrence", 1000)
    return UNSET if text is None else _recurrence(text)


def _one_of(given: Given, name: str, words: tuple[str, ...]) -> str | None:
    text = given.optional_text(name, MAX_ZONE_BYTES) or None
    if text is not None and text not in words:
        raise BadArgumentError(f"'{name}' must be one of {', '.join(words)}")
    return text


def _cleared(given: Given, name: str, max_bytes: int) -> str | Unset | None:
    """Empty clears it (R-167)."""
    text = given.optional_text(name, max_bytes)
    return UNSET if text is None else text or None
