"""Carries out ``cancel_task``, ``pause_task``, ``resume_task``, ``update_task`` (H-249 to H-252).

They reach the live rows of the series, whichever of its ids is given; a run that is just over
brings its successor forth first, so that the change reaches that one. Then the session's due time
is set anew: what is paused or cancelled never wakes anybody.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from contract.actions import CancelTask, PauseTask, ResumeTask, UpdateTask
from contract.content import MAX_INBOUND_BYTES
from contract.errors import BadContent, SessionFileMissing
from contract.inbound.row import InboundRow
from contract.inbound.writer import InboundWriter, open_inbound
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from contract.shape import Shape
from nanoclaw.db import sessions, tasks
from nanoclaw.db.tasks import SeriesState
from nanoclaw.effects.base import Done, HandlerResult
from nanoclaw.model import Session
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.tasks.asked import Asked
from nanoclaw.tasks.cards import resume_card, update_card
from nanoclaw.tasks.decide import Refused, SoundChange, decide_update

NO_TASK = "There is no live task {task_id!r}, so nothing was changed; list_tasks shows them."


@dataclass(frozen=True, slots=True)
class _Change:
    """What is done to each live row; ``state`` is the series' afterwards, None as before."""

    state: SeriesState | None
    update: SoundChange | None = None


def cancel(asked: Asked[CancelTask]) -> HandlerResult:
    return _apply(asked, asked.action.task_id, _Change(SeriesState.ENDED))


def pause(asked: Asked[PauseTask]) -> HandlerResult:
    return _apply(asked, asked.action.task_id, _Change(SeriesState.PAUSED))


def resume(asked: Asked[ResumeTask]) -> HandlerResult:
    if asked.waits_for_person():
        row = _live_row(asked, asked.action.task_id)
        if row is None:
            return _no_task(asked, asked.action.task_id)
        card = resume_card(asked.agent_name(), asked.request.taint, row)
        return asked.ask_person("Resume a task?", card)
    return _apply(asked, asked.action.task_id, _Change(SeriesState.LIVE))


def update(asked: Asked[UpdateTask]) -> HandlerResult:
    zone = asked.zone(None)
    assert zone is not None, "the installation's zone is always there"
    decision = decide_update(asked.action, asked.context.now, zone)
    if isinstance(decision, Refused):
        return asked.refuse(f"The task was not changed: {decision.text}.")
    if asked.waits_for_person():
        row = _live_row(asked, asked.action.task_id)
        if row is None:
            return _no_task(asked, asked.action.task_id)
        card = update_card(asked.agent_name(), asked.request.taint, row, decision)
        return asked.ask_person("Change a task?", card)
    return _apply(asked, asked.action.task_id, _Change(None, decision))


def _live_row(asked: Asked[Shape], task_id: str) -> InboundRow | None:
    """What a change would reach; a person sees it before allowing anything."""
    target = _session_of(asked, task_id)
    folder = SessionFolder.of(asked.context.paths, target.agent_group_id, target.id)
    try:
        with open_inbound(folder.inbound_db) as writer:
            return next(iter(writer.live_tasks(task_id)), None)
    except SessionFileMissing:
        return None


def _apply(asked: Asked[Shape], task_id: str, change: _Change) -> HandlerResult:
    target = _session_of(asked, task_id)
    now = asked.context.now
    folder = SessionFolder.of(asked.context.paths, target.agent_group_id, target.id)
    asked.keeper.settle(target, now)
    if change.state is SeriesState.ENDED:
        _end_series(asked, target, task_id)
    try:
        with open_inbound(folder.inbound_db) as writer:
            rows = writer.live_tasks(task_id)
            for row in rows:
                _change_row(writer, row, change)
    except SessionFileMissing:
        rows = ()
    reached("tasks.changed")
    if not rows:
        return _nothing(asked, target, task_id, change)
    for row in rows:
        _note_plan(asked, target, row, change)
    asked.keeper.set_due(target, now)
    return Done(f"{len(rows)} row(s) of {task_id}")


def _session_of(asked: Asked[Shape], task_id: str) -> Session:
    """Where the series lives: here, or in a session of its own that was asked for here."""
    conn = asked.context.conn
    series = tasks.asked_in(conn, asked.session.id, task_id)
    own = sessions.get(conn, series.session_id) if series is not None else None
    return own or asked.session


def _end_series(asked: Asked[Shape], target: Session, task_id: str) -> None:
    """Before its rows, or they would look like a run that is over."""
    series = tasks.get(asked.context.conn, target.id, task_id)
    if series is not None:
        ended = replace(series, state=SeriesState.ENDED, next_run_at=None)
        tasks.set_plan(asked.context.conn, ended, asked.context.now)


def _change_row(writer: InboundWriter, row: InboundRow, change: _Change) -> None:
    match change.state:
        case SeriesState.ENDED:
            writer.cancel_task(row.id)
        case SeriesState.PAUSED:
            writer.pause_task(row.id)
        case SeriesState.LIVE:
            writer.resume_task(row.id)
        case None:
            assert change.update is not None, "a change of no state is an update"
            after = _after(row, change.update)
            writer.rewrite_task(row.id, after.content, after.process_after, after.recurrence)
        case _:
            assert_never(change.state)


def _after(row: InboundRow, update: SoundChange) -> InboundRow:
    """The row with what was given; other keys of its content stay (H-252)."""
    try:
        content = parse_object(row.content, max_bytes=MAX_INBOUND_BYTES)
    except BadContent:
        content = {}
    if update.prompt is not None:
        content["prompt"] = update.prompt
    if update.script_given:
        content["script"] = update.script
    return replace(
        row,
        content=dump(content),
        process_after=update.process_after or row.process_after,
        recurrence=update.recurrence if update.recurrence_given else row.recurrence,
    )


def _note_plan(asked: Asked[Shape], target: Session, row: InboundRow, change: _Change) -> None:
    """The series' own line in the books."""
    series = asked.keeper.series_of(target, row, asked.context.now)
    if change.state is not None:
        ended = change.state is SeriesState.ENDED
        series = replace(
            series, state=change.state, next_run_at=None if ended else series.next_run_at
        )
    elif change.update is not None:
        after = _after(row, change.update)
        moved = change.update.process_after or series.next_run_at
        series = replace(series, recurrence=after.recurrence, next_run_at=moved)
    tasks.set_plan(asked.context.conn, series, asked.context.now)


def _nothing(asked: Asked[Shape], target: Session, task_id: str, change: _Change) -> HandlerResult:
    series = tasks.get(asked.context.conn, target.id, task_id)
    if SessionFolder.of(asked.context.paths, target.agent_group_id, target.id).exists():
        asked.keeper.set_due(target, asked.context.now)
    begun_before = asked.effect.attempts > 0
    if begun_before and series is not None and series.state is change.state:
        return Done("was done before")
    return _no_task(asked, task_id)


def _no_task(asked: Asked[Shape], task_id: str) -> HandlerResult:
    asked.tell(NO_TASK.format(task_id=task_id[:128]))
    return Done("no such task")
