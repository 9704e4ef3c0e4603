"""``ncl tasks``: what is scheduled, in every session, and what became of it.

Changes take the way of the agent's own requests: an effect that the delivery process carries out in
the session's file, so that nobody else ever writes a series (H-249 to H-252). The host's own user
waits a moment for it.
"""

from shlex import quote

from contract.actions import CancelTask, PauseTask, ResumeTask, UpdateTask
from contract.address import NOWHERE
from contract.clock import to_text
from contract.content import dump
from contract.errors import SessionFileError
from contract.ids import derived_id
from contract.inbound.history import read_task
from contract.inbound.row import MessageKind
from contract.outbound.row import OutboundRow
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import Awaited, once_done
from nanoclaw.admin.message_text import text_of_row
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.shown import LIMIT, limit_of, moment, short
from nanoclaw.bell import DELIVERY
from nanoclaw.db import effects, reading_tasks, sessions, tasks
from nanoclaw.db.effects import NewEffect
from nanoclaw.db.tasks import Series, SeriesState, TaskRun
from nanoclaw.effects.request import dump_request
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.folder import SessionFolder

MAX_NAMESAKES = 20
SHOWN_RUNS = 10
OPEN = "open"

Change = CancelTask | PauseTask | ResumeTask | UpdateTask

_ID = ArgumentSpec("id", "the task's id", required=True, positional=True)
_SESSION = ArgumentSpec("session", "its session, where several have a task of this id")
_STATE = ArgumentSpec(
    "state", "which ones; open: those that may still run", choices=(OPEN, *SeriesState),
    default=OPEN,
)  # fmt: skip
_GROUP = ArgumentSpec("agent_group_id", "only those of this agent group")


def _list(context: CommandContext, arguments: Arguments) -> object:
    wanted = arguments.text(_STATE.name, OPEN)
    state = None if wanted == OPEN else SeriesState(wanted)
    group = context.only_group or arguments.optional(_GROUP.name)
    found = reading_tasks.list_series(context.conn, state, group, limit_of(arguments))
    return [_row(one) for one in found if state or one.state is not SeriesState.ENDED]


def _show(context: CommandContext, arguments: Arguments) -> object:
    series = _find(context, arguments)
    runs = tasks.runs_of(context.conn, series.session_id, series.series_id, SHOWN_RUNS)
    return {
        **_row(series),
        "asked_in": series.asked_in,
        "catch_up": series.catch_up,
        "created_at": moment(series.created_at),
        "updated_at": moment(series.updated_at),
        "prompt": _prompt(context, series),
        "runs": [_run_row(run) for run in runs],
    }


def _history(context: CommandContext, arguments: Arguments) -> object:
    limit = limit_of(arguments)
    if arguments.optional(_ID.name) is None:
        group = context.only_group or arguments.optional(_GROUP.name)
        runs = reading_tasks.recent_runs(context.conn, group, limit)
    else:
        series = _find(context, arguments)
        runs = tasks.runs_of(context.conn, series.session_id, series.series_id, limit)
    return [_run_row(run) for run in runs]


def _pause(context: CommandContext, arguments: Arguments) -> object:
    series = _open(context, arguments)
    return _ask(context, series, PauseTask(task_id=series.series_id))


def _resume(context: CommandContext, arguments: Arguments) -> object:
    series = _open(context, arguments)
    return _ask(context, series, ResumeTask(task_id=series.series_id))


def _cancel(context: CommandContext, arguments: Arguments) -> object:
    series = _open(context, arguments)
    return _ask(context, series, CancelTask(task_id=series.series_id))


def _run_now(context: CommandContext, arguments: Arguments) -> object:
    series = _open(context, arguments)
    if series.state is SeriesState.PAUSED:
        command = f"ncl tasks resume {quote(series.series_id)}"
        raise CommandError(f"the task {series.series_id} is paused; `{command}` first")
    now = to_text(context.now)
    return _ask(context, series, UpdateTask(task_id=series.series_id, process_after=now))


# --- finding --------------------------------------------------------------------------------------


def _find(context: CommandContext, arguments: Arguments) -> Series:
    """Raises NotFoundError, and InvalidArgsError when the id is that of several."""
    series_id, session_id = arguments.text(_ID.name), arguments.optional(_SESSION.name)
    if session_id is not None:
        found = tasks.get(context.conn, session_id, series_id)
        if found is None:
            raise NotFoundError(f"task not found: {series_id} in session {session_id}")
        return found
    namesakes = reading_tasks.find_series(context.conn, series_id, MAX_NAMESAKES)
    live = [one for one in namesakes if one.state is not SeriesState.ENDED] or namesakes[:1]
    if not live:
        raise NotFoundError(f"task not found: {series_id}")
    if len(live) > 1:
        places = ", ".join(one.session_id for one in live)
        raise InvalidArgsError(f"several sessions have a task {series_id}; --session is {places}")
    return live[0]


def _open(context: CommandContext, arguments: Arguments) -> Series:
    series = _find(context, arguments)
    if series.state is SeriesState.ENDED:
        raise CommandError(
            f"the task {series.series_id} has ended; nothing can be changed about it"
        )
    return series


def _prompt(context: CommandContext, series: Series) -> str | None:
    """From the session's file; None while that cannot be read."""
    folder = SessionFolder.of(context.paths, series.agent_group_id, series.session_id)
    try:
        row = read_task(folder.inbound_db, series.series_id)
    except SessionFileError:
        return None
    return None if row is None else text_of_row(row.kind, row.content)


# --- changing -------------------------------------------------------------------------------------


def _ask(context: CommandContext, series: Series, change: Change) -> object:
    """Records what is to be done; the transaction is the command's."""
    action = str(change.TAG[1])
    effect_id = derived_id("ncl", context.now, context.cause)
    row = OutboundRow(
        id=effect_id, seq=0, kind=MessageKind.SYSTEM, timestamp=context.now, content=dump(change),
        address=NOWHERE, in_reply_to=None, deliver_after=None, taint=None, chain_id=None, hop=0,
    )  # fmt: skip
    if sessions.get(context.conn, series.session_id) is None:
        raise NotFoundError(f"session not found: {series.session_id}")
    payload = dump_request(row)
    effects.record(
        context.conn,
        NewEffect(
            effect_id=effect_id,
            kind=f"action:{action}",
            requested_by=context.actor,
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=context.now,
            session_id=series.session_id,
            agent_group_id=series.agent_group_id,
        ),
    )
    context.ring(DELIVERY)
    asked: dict[str, object] = {
        "task": series.series_id,
        "session_id": series.session_id,
        "action": action.removesuffix("_task").replace("update", "run-now"),
        "effect_id": effect_id,
    }
    at_once = {**asked, "state": "pending"}
    return once_done(context, Awaited(effect_id, asked, at_once=at_once, reports=True))


# --- rows -----------------------------------------------------------------------------------------


def _row(series: Series) -> dict[str, object]:
    return {
        "id": series.series_id,
        "session_id": series.session_id,
        "agent_group_id": series.agent_group_id,
        "state": series.state.value,
        "next_run_at": moment(series.next_run_at),
        "recurrence": series.recurrence,
        "tz": series.tz,
        "failures": series.failures,
        "last_error": short(series.last_error),
    }


def _run_row(run: TaskRun) -> dict[str, object]:
    return {
        "id": run.series_id,
        "session_id": run.session_id,
        "due_at": moment(run.due_at),
        "started_at": moment(run.started_at),
        "ended_at": moment(run.ended_at),
        "status": run.status.value,
        "missed": run.missed,
        "error": short(run.error),
    }


_COLUMNS = (
    ColumnSpec("id", "the name that its agent gave it", generated=True),
    ColumnSpec("session_id", "where it runs", generated=True),
    ColumnSpec("agent_group_id", "whose it is", generated=True),
    ColumnSpec("state", "live, paused or ended", generated=True, choices=tuple(SeriesState)),
    ColumnSpec("next_run_at", "when it is due next", generated=True, nullable=True),
    ColumnSpec("recurrence", "cron, or @every", generated=True, nullable=True),
    ColumnSpec("tz", "its time zone, if it has one of its own", generated=True, nullable=True),
    ColumnSpec("failures", "in a row", Kind.INTEGER, generated=True),
    ColumnSpec("last_error", "of the newest failure", generated=True, nullable=True),
)

_CHANGES = (
    ("pause", "let no time come until it is resumed", _pause),
    ("resume", "go on with a paused task", _resume),
    ("cancel", "end it; its history stays", _cancel),
    ("run-now", "run it at once; a repeated one goes on from now", _run_now),
)

RESOURCE = ResourceSpec(
    name="task",
    plural="tasks",
    id_column="id",
    description="what agents have scheduled",
    columns=_COLUMNS,
    operations=(
        Operation(
            "list", Access.OPEN, "those that may still run, the next one first", _list,
            (_STATE, _GROUP, LIMIT),
        ),
        Operation(
            "show", Access.OPEN, "one task, its prompt and its last runs", _show, (_ID, _SESSION)
        ),
        Operation(
            "history", Access.OPEN, "runs that are over, newest first", _history,
            (
                ArgumentSpec("id", "only of this task", positional=True),
                _SESSION,
                _GROUP,
                LIMIT,
            ),
        ),
        *(
            Operation(verb, Access.APPROVAL, text, run, (_ID, _SESSION), mutating=True)
            for verb, text, run in _CHANGES
        ),
    ),
    scope_field="agent_group_id",
)  # fmt: skip
