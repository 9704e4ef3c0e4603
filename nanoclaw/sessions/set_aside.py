"""A session whose file is damaged: kept as evidence, stopped, and told to its chat.

Called by whoever meets the damage first. Only this session stops: its rows stay in the redo log,
the copy below ``backups/set-aside`` is what a repair starts from, and the chat reads one plain
sentence. Safe to repeat; the first reason is kept.
"""

import logging
import shutil
import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import sessions
from nanoclaw.db.connection import transaction
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.notice import Notice, chat_of, queue_notice

NOTICE = (
    "The file of this conversation is damaged, so I cannot read your messages here for now. "
    "They are kept. Please ask the operator to run `nanoclaw doctor`."
)

log = logging.getLogger(__name__)


def set_aside(
    conn: sqlite3.Connection, paths: HostPaths, session: Session, reason: str, now: datetime
) -> None:
    """Copies the file, quarantines the session, queues the notice."""
    if session.quarantined_at is not None:
        return
    _keep_copy(paths, session)
    with transaction(conn):
        sessions.quarantine(conn, session.id, reason, now)
        notice = Notice(f"damaged/{to_text(now)}", NOTICE, chat_of(conn, session))
        queue_notice(conn, session, notice, now)
    log.error("session set aside", extra={"session": session.id, "reason": reason})
    ring(paths, DELIVERY)


def _keep_copy(paths: HostPaths, session: Session) -> None:
    folder = SessionFolder.of(paths, session.agent_group_id, session.id)
    target = paths.backups / "set-aside" / session.id
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (folder.inbound_db.name, f"{folder.inbound_db.name}-journal"):
        source = folder.in_dir / name
        try:
            if source.is_file() and not source.is_symlink():
                shutil.copyfile(source, target / name)
        except OSError as error:
            # The session stops all the same; the original is still where it was.
            log.warning("no copy kept", extra={"session": session.id, "reason": str(error)})
