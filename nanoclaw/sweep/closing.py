"""Closes conversations that have been quiet for long and packs their folders.

Joined to the sweep by the composition root; a round each hour, bounded, nothing of it on the way of
a message. A live task keeps a session open. Packing runs on a worker thread; that the folder goes
and that the session counts as packed is one step, so that a message that comes in between finds
either the folder or the archive (``sessions.archive``).
"""

import logging
import sqlite3
from datetime import datetime

from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileError
from contract.inbound.reader import read_tasks
from nanoclaw.db import closings, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.errors import ContainerError
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor
from nanoclaw.sessions import archive
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sweep.offload import Offload

ROUND_SECONDS = 3600.0
FIRST_ROUND_SECONDS = 60.0
PER_ROUND = 200

log = logging.getLogger(__name__)


class Closing:
    """Owned by the ``sweep`` process."""

    def __init__(
        self, reactor: Reactor, conn: sqlite3.Connection, paths: HostPaths, offload: Offload
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._offload = offload
        self._after: datetime | None = None

    def start(self) -> None:
        self._reactor.call_later(FIRST_ROUND_SECONDS, self._round)

    def _round(self) -> None:
        self.close_quiet()
        self._pack_next(closings.unpacked(self._conn, PER_ROUND))
        self._reactor.call_later(ROUND_SECONDS, self._round)

    def close_quiet(self) -> int:
        """Closes what is due for it; returns how many."""
        now = utc_now()
        closed = 0
        found = closings.quiet(self._conn, now, PER_ROUND, self._after)
        # Those that a live task keeps open must not be all that is ever looked at.
        self._after = found[-1].last_active if len(found) == PER_ROUND else None
        for session in found:
            if not self._has_live_task(session):
                with transaction(self._conn):
                    closed += sessions.close(self._conn, session.id, now)
        if closed:
            log.info("sessions closed", extra={"count": closed})
        return closed

    def _has_live_task(self, session: Session) -> bool:
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            return bool(folder.exists() and read_tasks(folder.inbound_db))
        except (SessionFileError, SchemaMismatch) as error:
            log.warning("not closed", extra={"session": session.id, "reason": str(error)})
            return True

    def _pack_next(self, waiting: list[Session]) -> None:
        """One after the other: it is disk work that nobody waits for."""
        if not waiting:
            return
        session, rest = waiting[0], waiting[1:]
        root = SessionFolder.of(self._paths, session.agent_group_id, session.id).root

        def clear() -> None:
            archive.sweep_leftovers(root.parent)  # thousands of files, perhaps

        def pack() -> None:
            archive.sweep_leftovers(root.parent)
            if root.exists():
                archive.pack(root)

        def packed(_: None) -> None:
            self._finish(session)
            self._offload.submit(clear, lambda _: self._pack_next(rest), failed)

        def failed(error: ContainerError) -> None:
            log.warning("not packed", extra={"session": session.id, "reason": str(error)})
            self._pack_next(rest)

        self._offload.submit(pack, packed, failed)

    def _finish(self, session: Session) -> None:
        root = SessionFolder.of(self._paths, session.agent_group_id, session.id).root
        with transaction(self._conn):
            if not closings.mark_packed(self._conn, session.id):
                archive.drop_archive(root)  # reopened meanwhile; the folder is the truth
                return
            if root.exists():
                archive.remove_folder(root)
        log.info("session packed", extra={"session": session.id})
