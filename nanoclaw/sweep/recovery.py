"""What the sweep does before it says that it is ready, and for sessions that were given up.

Called by ``loop``. A new start may be a new version or a repaired machine, so what was given up
gets one more chance. A host that was killed can have left a half-done transaction in the inbox of a
session whose container still runs and, with its read-only mount, cannot roll it back; so each of
these files is opened for writing once. A process that died while reading a session counts.
"""

import logging
import sqlite3
from datetime import datetime

from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileCorrupt, SessionFileMissing
from contract.inbound.writer import open_inbound
from nanoclaw.db import container_configs, sessions
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sessions.set_aside import set_aside
from nanoclaw.sweep.ends.decide import UNTIL_SOMEBODY_ACTS

log = logging.getLogger(__name__)


def recover(conn: sqlite3.Connection, paths: HostPaths, marker: WorkMarker) -> None:
    """Safe to repeat; one session's trouble never stops the others."""
    now = utc_now()
    marker.count_death(conn, now)
    for session in sessions.failing(conn):
        if is_given_up(session, now):
            try_once_more(conn, session, started_at=now)
    for session in sessions.running(conn):
        folder = SessionFolder.of(paths, session.agent_group_id, session.id)
        try:
            with open_inbound(folder.inbound_db):
                pass
        except (SessionFileBusy, SessionFileMissing, SchemaMismatch) as error:
            # Busy: another process has it open and has just done the same.
            log.info("inbox not opened", extra={"session": session.id, "reason": str(error)})
        except SessionFileCorrupt as error:
            set_aside(conn, paths, session, str(error), utc_now())


def is_given_up(session: Session, now: datetime) -> bool:
    """Whether nothing is tried any more until somebody acts."""
    retry_at = session.container_retry_at
    return retry_at is not None and retry_at - now > UNTIL_SOMEBODY_ACTS / 2


def try_once_more(conn: sqlite3.Connection, session: Session, started_at: datetime) -> bool:
    """Takes a session up again that was given up, if somebody may have acted since: its group's
    configuration was changed, or this process was started, ``started_at``, perhaps as a new
    version."""
    if session.container_retry_at is None:
        return False
    given_up_at = session.container_retry_at - UNTIL_SOMEBODY_ACTS
    config = container_configs.get(conn, session.agent_group_id)
    changed_at = config.updated_at if config is not None else started_at
    if given_up_at > max(started_at, changed_at):
        return False
    log.info("trying again", extra={"session": session.id, "reason": session.container_error})
    sessions.clear_container_failure(conn, session.id)
    return True
