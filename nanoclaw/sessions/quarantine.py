"""Remembers which session a process is reading, so that files that kill their reader are found.

A process that opens what an agent wrote names the session in ``run/working-<child>`` for that
moment. If it dies there, the note is still in the file at the next start and counts as one death of
that session; two in a row and the session is quarantined (design section 3). The note must outlive
the process, not the machine, so it costs one write to the page cache and no sync.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from nanoclaw.db import sessions
from nanoclaw.paths import HostPaths

DEATHS_UNTIL_QUARANTINE = 2
_MAX_ID_BYTES = 512

log = logging.getLogger(__name__)


class WorkMarker:
    """The note of one process; ``child`` is its name."""

    def __init__(self, paths: HostPaths, child: str) -> None:
        self.path: Path = paths.run / f"working-{child.replace(':', '-')}"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._suspects: set[str] = set()

    @contextmanager
    def reading(self, session_id: str) -> Iterator[None]:
        """Around every look at files that an agent can write. An exception is no death."""
        os.pwrite(self._fd, session_id.encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(self._fd, 0)

    def take_leftover(self) -> str | None:
        """The session that an earlier process of this name was reading when it died."""
        text = os.pread(self._fd, _MAX_ID_BYTES, 0).decode("utf-8", "replace")
        os.ftruncate(self._fd, 0)
        return text or None

    def count_death(self, conn: sqlite3.Connection, now: datetime) -> str | None:
        """At the start of a process: counts a death that the note tells of.

        Returns the session that is quarantined by it, if any.
        """
        session_id = self.take_leftover()
        if session_id is None:
            return None
        deaths = sessions.record_death(conn, session_id)
        self._suspects.add(session_id)
        log.warning("died while reading a session", extra={"session": session_id, "count": deaths})
        if deaths < DEATHS_UNTIL_QUARANTINE:
            return None
        reason = f"{deaths} processes in a row died while reading its files"
        sessions.quarantine(conn, session_id, reason, now)
        log.error("session quarantined", extra={"session": session_id, "reason": reason})
        return session_id

    def note_survived(self, conn: sqlite3.Connection, session_id: str) -> None:
        """Its files were read to the end: earlier deaths had another cause. Costs nothing for
        sessions that nobody died on."""
        if session_id in self._suspects:
            self._suspects.discard(session_id)
            sessions.clear_deaths(conn, session_id)

    def close(self) -> None:
        os.close(self._fd)
