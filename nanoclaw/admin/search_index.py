"""Keeps the search index up to date: what is new in the receipts, the sessions and the tasks.

Owned by the admin process. An idle host costs two looks at a file's time each second: whatever is
of interest changes the central database. A round takes the new receipts by their number, and reads
the files of sessions that have had traffic; it is bounded, and the next one goes on. Rows reach a
session's file a moment before or after its session is marked as active, so that such a session is
looked at once more a minute later.
"""

import logging
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.clock import parse_text, to_text, utc_now
from contract.errors import ContractError, SessionFileBusy
from contract.inbound.history import read_after, read_task
from contract.inbound.row import InboundRow, MessageKind
from nanoclaw.admin.message_text import sender_of_row, text_of_message, text_of_row
from nanoclaw.admin.search_archive import unpacked_inbound
from nanoclaw.admin.search_words import normal_text
from nanoclaw.db import reading_tasks, search_feed, sessions
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.search_feed import SaidMessage
from nanoclaw.db.search_index import Entry, SearchIndex, remove
from nanoclaw.db.tasks import Series
from nanoclaw.errors import StateError
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder

IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.02
FAILED_SECONDS = 60.0
ROUND_SECONDS = 0.03
"""After so long a round ends, whatever is left."""
ROWS_PER_STEP = 500
SESSIONS_PER_STEP = 200
OVERLAP = timedelta(seconds=60)
"""Who commits later may have looked at the clock earlier."""
BUSY_PAUSE = timedelta(seconds=5)
MAX_TRIES = 20
FORGET_EVERY = timedelta(hours=1)
SYSTEM_SENDER = "system"
SCRATCH = "search-unpacked"

MESSAGES, STORED, LIVELY, TASKS, GONE = "messages", "stored", "lively", "tasks", "gone"
"""Marks in the index: how far each source has been read."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round works with."""

    conn: sqlite3.Connection
    index: SearchIndex
    now: datetime


class Indexer:
    """Started with the admin process. Holds neither file open between rounds."""

    def __init__(self, reactor: Reactor, paths: HostPaths) -> None:
        self._reactor = reactor
        self._paths = paths
        self._path = paths.data / "search.db"
        self._seen: tuple[tuple[int, int], ...] = ()
        self._next_look: datetime | None = None
        self._forget_at: datetime | None = None
        self._tasks_seen: dict[tuple[str, str], datetime] = {}

    def start(self) -> None:
        self._reactor.call_later(IDLE_SECONDS, self._tick)

    def _tick(self) -> None:
        seconds = IDLE_SECONDS
        try:
            if self._has_work(utc_now()) and self.work(utc_now()):
                seconds = BUSY_SECONDS
        except (StateError, sqlite3.Error, OSError) as error:
            log.warning("search index not kept up", extra={"reason": str(error)})
            self._seen = ()
            seconds = FAILED_SECONDS
        self._reactor.call_later(seconds, self._tick)

    def _has_work(self, now: datetime) -> bool:
        """Whether the database has changed, or something was put off until now."""
        before, self._seen = self._seen, self._look()
        if before != self._seen:
            return True
        waiting = (self._next_look, self._forget_at)
        return any(moment is not None and moment <= now for moment in waiting)

    def _look(self) -> tuple[tuple[int, int], ...]:
        """Empty while a change may still hide in the same tick of the file system's clock."""
        found = []
        for suffix in ("", "-wal"):
            path = self._paths.central_db.with_name(self._paths.central_db.name + suffix)
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((stat.st_mtime_ns, stat.st_size))
        newest = max((mtime for mtime, _ in found), default=0)
        return tuple(found) if utc_now().timestamp() - newest / 1e9 > IDLE_SECONDS else ()

    # --- one round --------------------------------------------------------------------------------

    def work(self, now: datetime) -> bool:
        """Takes one round's worth of news; True when there is more. A broken index is made anew."""
        with closing(open_read_only(self._paths.central_db)) as conn:
            try:
                with closing(SearchIndex.open(self._path)) as index:
                    return self._work(_Round(conn, index, now))
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
                    raise  # the file is not to blame
                log.warning("search index is made anew", extra={"reason": str(error)})
                remove(self._path)
                return True

    def _work(self, round_: _Round) -> bool:
        deadline = self._reactor.now() + ROUND_SECONDS
        more = self._take_messages(round_)
        more |= self._take_stored(round_)
        self._take_lively(round_)
        self._take_tasks(round_)
        self._forget_gone(round_)
        while waiting := round_.index.to_read(round_.now, 1):
            session_id, tries = waiting[0]
            self._read(round_, session_id, tries)
            if self._reactor.now() > deadline:
                more = True
                break
        self._next_look = parse_text(round_.index.next_look())
        return more

    def _take_messages(self, round_: _Round) -> bool:
        index = round_.index
        after = int(index.mark(MESSAGES) or 0)
        last = search_feed.last_message(round_.conn, after, ROWS_PER_STEP)
        if last == after:
            return False
        said = search_feed.messages_after(round_.conn, min(after, last), ROWS_PER_STEP)
        with index.writing():
            index.put([_said(message) for message in said if message.row_number <= last])
            index.set_mark(MESSAGES, str(last))
        return True

    def _take_stored(self, round_: _Round) -> bool:
        """Sessions that were not there before; all of them, when the index is new."""
        after = int(round_.index.mark(STORED) or 0)
        found = search_feed.new_sessions(round_.conn, after, SESSIONS_PER_STEP)
        if found:
            with round_.index.writing():
                round_.index.want([session_id for _, session_id in found], round_.now)
                round_.index.set_mark(STORED, str(found[-1][0]))
        return len(found) == SESSIONS_PER_STEP

    def _take_lively(self, round_: _Round) -> None:
        since = parse_text(round_.index.mark(LIVELY)) or round_.now
        lively = search_feed.lively_sessions(round_.conn, since - OVERLAP)
        unread = round_.index.unread(lively)
        newest = max((parse_text(at) or since for _, at in lively), default=since)
        if not unread and newest == since and round_.index.mark(LIVELY) is not None:
            return
        with round_.index.writing():
            round_.index.want(unread, round_.now)
            round_.index.set_mark(LIVELY, to_text(min(newest, round_.now)))

    def _take_tasks(self, round_: _Round) -> None:
        since = parse_text(round_.index.mark(TASKS)) or datetime.fromtimestamp(0, round_.now.tzinfo)
        changed = reading_tasks.series_changed_since(
            round_.conn, max(since - OVERLAP, since.min.replace(tzinfo=since.tzinfo)), ROWS_PER_STEP
        )
        news = [one for one in changed if self._tasks_seen.get(_key(one)) != one.updated_at]
        if not news:
            return
        entries = [entry for one in news if (entry := self._task(one)) is not None]
        with round_.index.writing():
            round_.index.put(entries)
            round_.index.set_mark(TASKS, to_text(max(one.updated_at for one in news)))
        self._tasks_seen = {_key(one): one.updated_at for one in changed}

    def _task(self, series: Series) -> Entry | None:
        folder = SessionFolder.of(self._paths, series.agent_group_id, series.session_id)
        try:
            row = read_task(folder.inbound_db, series.series_id)
        except ContractError:
            return None  # its session is read again when somebody writes to it
        return None if row is None else _given(row, series.session_id, series.agent_group_id)

    def _forget_gone(self, round_: _Round) -> None:
        """Sessions that were deleted: their words go too."""
        if self._forget_at is not None and round_.now < self._forget_at:
            return
        begin = round_.index.mark(GONE) or ""
        read = round_.index.sessions_after(begin, SESSIONS_PER_STEP)
        there = search_feed.existing_sessions(round_.conn, read)
        with round_.index.writing():
            round_.index.want([one for one in read if one not in there], round_.now)
            round_.index.set_mark(GONE, read[-1] if read else "")
        self._forget_at = round_.now if read else round_.now + FORGET_EVERY

    # --- one session ------------------------------------------------------------------------------

    def _read(self, round_: _Round, session_id: str, tries: int) -> None:
        index, session = round_.index, sessions.get(round_.conn, session_id)
        if session is None:
            with index.writing():
                index.forget_some(session_id, ROWS_PER_STEP)
            return
        after = index.read_up_to(session_id)
        try:
            rows = self._rows(session, after)
        except SessionFileBusy as error:
            self._put_off(round_, session_id, tries + 1, str(error))
            return
        except (ContractError, OSError) as error:
            log.info("not searchable", extra={"session": session_id, "reason": str(error)})
            rows = ()
        entries = [_given(row, session_id, session.agent_group_id) for row in rows]
        seq = max((row.seq for row in rows), default=after)
        with index.writing():
            index.put([entry for entry in entries if entry is not None])
            index.note_read(session_id, seq, to_text(session.last_active or session.created_at))
            if len(rows) == ROWS_PER_STEP:
                return
            later = (session.last_active or session.created_at) + OVERLAP
            if later > round_.now:
                index.look_again(session_id, later, 0)
            else:
                index.not_wanted(session_id)

    def _rows(self, session: Session, after: int) -> tuple[InboundRow, ...]:
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        if folder.exists():
            return read_after(folder.inbound_db, after, ROWS_PER_STEP)
        with unpacked_inbound(folder.root, self._paths.run / SCRATCH) as path:
            return () if path is None else read_after(path, after, ROWS_PER_STEP)

    def _put_off(self, round_: _Round, session_id: str, tries: int, reason: str) -> None:
        with round_.index.writing():
            if tries < MAX_TRIES:
                round_.index.look_again(session_id, round_.now + tries * BUSY_PAUSE, tries)
            else:
                round_.index.not_wanted(session_id)
                log.info("not searchable", extra={"session": session_id, "reason": reason})


def _said(message: SaidMessage) -> Entry:
    try:
        text = text_of_message(message.kind, message.content)
    except ContractError:
        text = ""
    return Entry(
        session_id=message.session_id,
        kind="out",
        message_id=message.delivery_id,
        agent_group_id=message.agent_group_id,
        channel=message.channel,
        sender=None,
        at=message.created_at,
        text=normal_text(text),
    )


def _given(row: InboundRow, session_id: str, agent_group_id: str) -> Entry | None:
    """None for what nobody said: notes of the host, answers of programs."""
    is_task = row.kind == MessageKind.TASK
    sender = sender_of_row(row.kind, row.content)
    text = text_of_row(row.kind, row.content)
    if not text or row.timestamp is None or sender == SYSTEM_SENDER:
        return None
    return Entry(
        session_id=session_id,
        kind="task" if is_task else "in",
        message_id=row.series_id if is_task else row.id,
        agent_group_id=agent_group_id,
        channel=row.address.channel_type,
        sender=sender,
        at=row.timestamp,
        text=normal_text(text),
    )


def _key(series: Series) -> tuple[str, str]:
    return series.session_id, series.series_id
