"""Carries out ``schedule_task``: checks it, asks a person where that is needed, writes the row.

Steps: the series (and the session of its own, for an isolated task) in the central database, the
row in the session's file, the time at which the session is woken. A repeat finds what is there.
"""

from contract.actions import ScheduleTask
from contract.address import Address
from contract.ids import derived_id
from contract.inbound.row import MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.bell import SWEEP, ring
from nanoclaw.db import sessions, tasks
from nanoclaw.db.connection import transaction
from nanoclaw.db.tasks import NewSeries
from nanoclaw.effects.base import Done, HandlerResult
from nanoclaw.model import NewSession, Session, SessionMode
from nanoclaw.sessions.decide import SessionKey
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.tasks.asked import Asked
from nanoclaw.tasks.cards import schedule_card
from nanoclaw.tasks.decide import Refused, ScheduleFacts, SoundTask, decide_schedule


def schedule(asked: Asked[ScheduleTask]) -> HandlerResult:
    conn, session = asked.context.conn, asked.session
    known = tasks.get(conn, session.id, asked.action.task_id) or tasks.asked_in(
        conn, session.id, asked.action.task_id
    )
    live = tasks.count_open(conn, session.agent_group_id) if known is None else 0
    facts = ScheduleFacts(asked.context.now, asked.zone(asked.action.tz), live)
    decision = decide_schedule(asked.action, facts)
    if isinstance(decision, Refused):
        return asked.refuse(f"The task was not scheduled: {decision.text}.")
    if asked.waits_for_person():
        card = schedule_card(asked.agent_name(), asked.request.taint, decision)
        return asked.ask_person("Schedule a task?", card)
    target = _record(asked, decision)
    reached("tasks.planned")
    _write_row(asked, decision, target)
    reached("tasks.written")
    _wake(asked, decision, target)
    return Done(f"task {decision.task_id}")


def _record(asked: Asked[ScheduleTask], task: SoundTask) -> Session:
    """The session that the task runs in. One transaction."""
    conn, session = asked.context.conn, asked.session
    with transaction(conn):
        target = _own_session(asked, task) if task.isolated else session
        tasks.create(
            conn,
            NewSeries(
                session_id=target.id,
                series_id=task.task_id,
                agent_group_id=session.agent_group_id,
                created_at=asked.context.now,
                asked_in=session.id if task.isolated else None,
                recurrence=task.recurrence,
                tz=task.tz,
                catch_up=task.catch_up,
                next_run_at=task.first_at,
            ),
        )
    return target


def _own_session(asked: Asked[ScheduleTask], task: SoundTask) -> Session:
    """Of mode ``task``, named by who asked and by the series; it answers where the asker does."""
    session = asked.session
    key = SessionKey(
        SessionMode.TASK,
        session.agent_group_id,
        session.messaging_group_id,
        f"{session.id}/{task.task_id}",
    )
    found = sessions.find_active(asked.context.conn, key.text)
    if found is not None:
        return found
    return sessions.create(
        asked.context.conn,
        NewSession(
            id=derived_id("sess", asked.effect.created_at, asked.effect.effect_id),
            agent_group_id=session.agent_group_id,
            messaging_group_id=session.messaging_group_id,
            thread_id=session.thread_id,
            mode=SessionMode.TASK,
            session_key=key.text,
            created_at=asked.context.now,
            agent_provider=session.agent_provider,
        ),
    )


def _write_row(asked: Asked[ScheduleTask], task: SoundTask, target: Session) -> None:
    """A row of this id that is there already is this very task (H-248)."""
    action = asked.action
    folder = SessionFolder.of(asked.context.paths, target.agent_group_id, target.id)
    folder.create()
    row = NewInbound(
        id=task.task_id,
        kind=MessageKind.TASK,
        timestamp=asked.context.now,
        content=dump({"prompt": task.prompt, "script": task.script}),
        address=Address(action.channel_type, action.platform_id, action.thread_id),
        process_after=task.first_at,
        recurrence=task.recurrence,
        # What a person has read and allowed is no longer a stranger's word.
        taint=None if asked.approved else asked.request.taint,
        chain_id=asked.request.chain_id,
        tz=task.tz,
        catch_up=task.catch_up,
    )
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(row)


def _wake(asked: Asked[ScheduleTask], task: SoundTask, target: Session) -> None:
    sessions.wake_at(asked.context.conn, target.id, task.first_at)
    ring(asked.context.paths, SWEEP)
