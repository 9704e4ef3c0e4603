"""Puts planned rows into session files, several files at once.

Each file's commit waits for the disk on its own, so threads help (design section 8). The central
database is not touched here, and one file's trouble stays its own.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.killpoint import reached
from nanoclaw.paths import HostPaths
from nanoclaw.routing.plan import PlannedRow
from nanoclaw.sessions.folder import SessionFolder

WRITE_THREADS = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Sessions whose rows stay in the log: locked for now, or damaged (with the reason)."""

    busy: frozenset[str]
    damaged: dict[str, str]


class SessionWriter:
    """Owned by ``routing.writing``; keeps its threads between calls."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths
        self._threads: ThreadPoolExecutor | None = None

    def write(self, rows: Iterable[PlannedRow]) -> Unwritten:
        """One transaction per session file; a repeat changes nothing."""
        by_session: dict[tuple[str, str], list[NewInbound]] = {}
        for planned in rows:
            key = (planned.agent_group_id, planned.session_id)
            by_session.setdefault(key, []).append(planned.row)
        busy: set[str] = set()
        damaged: dict[str, str] = {}
        for (_, session_id), error in zip(by_session, self._write_all(by_session), strict=True):
            if isinstance(error, SessionFileBusy | OSError):
                busy.add(session_id)
                fields = {"session": session_id, "reason": str(error)}
                log.warning("session file not written, will be tried again", extra=fields)
            elif error is not None:
                damaged[session_id] = str(error)
        return Unwritten(frozenset(busy), damaged)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()

    def _write_all(
        self, by_session: dict[tuple[str, str], list[NewInbound]]
    ) -> Iterable[Exception | None]:
        if len(by_session) <= 1:
            return [self._write_one(*item) for item in by_session.items()]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="session-write")
        return self._threads.map(self._write_one, by_session, by_session.values())

    def _write_one(self, key: tuple[str, str], rows: list[NewInbound]) -> Exception | None:
        folder = SessionFolder.of(self._paths, *key)
        try:
            folder.create()
            with open_inbound(folder.inbound_db) as writer:
                for row in rows:
                    writer.insert_message(row)
        except (SessionFileError, SchemaMismatch, OSError) as error:
            return error
        reached("router.row_inserted")
        return None
