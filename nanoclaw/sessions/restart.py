"""Restarts the containers of an agent group, for a change that they see at their start only.

Used after self-modification and by the administration (H-168). The note for a fresh container is
written and the session marked due *before* anything is stopped: whether the container dies by our
hand or by itself in between, the next one finds the note at its first look (H-169). What is stopped
is named by its lease, so that a late request never hits a newcomer.
"""

import logging
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.ids import derived_id
from contract.killpoint import reached
from nanoclaw.db import sessions
from nanoclaw.events import StopContainers
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.note import AgentNote, write_note

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restart:
    """``cause`` and ``asked_at`` make the notes' ids: repeating the step tells each agent once.

    Containers that were started after ``changed_at`` have seen the change and stay. ``message``
    None: containers are only stopped and come back with their next message.
    """

    agent_group_id: str
    cause: str
    reason: str
    asked_at: datetime
    changed_at: datetime
    message: str | None = None
    only_for: str | None = None
    """The message is for this session, running or not; the others are stopped without one."""


def prepare_restart(
    conn: sqlite3.Connection, paths: HostPaths, restart: Restart, now: datetime
) -> StopContainers:
    """Writes the notes; the frame that the sweep must get then. Its length is the count.

    Not inside a transaction of the central database. Raises SessionFileBusy when a note could not
    be written; the caller tries the whole step again.
    """
    stopped: list[Session] = []
    busy: SessionFileBusy | None = None
    for session in sessions.active_of_group(conn, restart.agent_group_id):
        is_up = _is_up(session, restart.changed_at)
        try:
            if restart.message is not None and _is_told(session, restart, is_up=is_up):
                write_note(conn, paths, session, _note(session, restart), now)
        except SessionFileBusy as error:
            busy = error
        except (SessionFileError, SchemaMismatch) as error:
            # Whoever reads this file next sets its session aside; the others need the change.
            log.error("no note written", extra={"session": session.id, "reason": str(error)})
        if is_up:
            stopped.append(session)
    if busy is not None:
        raise busy
    reached("host.restart_prepared")
    return StopContainers(
        tuple(session.id for session in stopped),
        restart.reason,
        tuple(session.lease_token for session in stopped),
    )


def _is_up(session: Session, changed_at: datetime) -> bool:
    """Running, or just being started: the lease comes before the files are written."""
    if not (session.is_running or session.lease_owner):
        return False
    return session.container_started_at is None or session.container_started_at <= changed_at


def _is_told(session: Session, restart: Restart, *, is_up: bool) -> bool:
    if session.quarantined_at is not None:
        return False
    return session.id == restart.only_for if restart.only_for is not None else is_up


def _note(session: Session, restart: Restart) -> AgentNote:
    note_id = derived_id("restart", restart.asked_at, f"{restart.cause}/{session.id}")
    return AgentNote(note_id, restart.message or "", on_wake=True)
