"""Takes what an agent has written into the host's own books.

``drain`` reads a session's ``outbound.db`` as a snapshot, judges each new row and stores a
receipt for it in the central database, content included: from then on the message is the host's
and nothing the agent does to its files can lose, change or repeat it. Called by
``delivery.loop``; sends nothing.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime

from contract.content import EditOut, ReactionOut, parse_outbound
from contract.errors import (
    BadContent,
    SessionFileBusy,
    SnapshotBusy,
    SnapshotError,
    SnapshotMissing,
)
from contract.inbound.row import AckStatus
from contract.killpoint import reached
from contract.outbound.row import OutboundRow
from contract.outbound.snapshot import ChangeToken, change_token
from nanoclaw.db import container_configs, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.leak_guard import LeakGuard
from nanoclaw.delivery.receipts import Output, Recorded, record_output
from nanoclaw.delivery.turn_taint import view_turn
from nanoclaw.model import Delivery, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.outbox import read_committed
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sessions.set_aside import set_aside

ROWS_PER_DRAIN = 256
LARGE_CHARACTERS = 4 * 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one look at a session brought."""

    deliveries: tuple[Delivery, ...] = ()
    acks: dict[str, AckStatus] = field(default_factory=dict)
    more: bool = False
    busy: bool = False
    effects: bool = False
    """Something was recorded that others of this process have to look at."""


class Intake:
    """Reads sessions; remembers only what tells a changed file from an unchanged one."""

    def __init__(
        self, conn: sqlite3.Connection, paths: HostPaths, marker: WorkMarker, guard: LeakGuard
    ) -> None:
        self._conn = conn
        self._guard = guard
        self._paths = paths
        self._marker = marker
        self._seen: dict[str, ChangeToken] = {}

    def forget(self, session_id: str) -> None:
        self._seen.pop(session_id, None)

    def drain(self, session: Session, now: datetime) -> Drained:
        """Stores receipts for new rows. Never raises for what the agent did to its files.

        A session whose rows cannot be stored for a reason that nobody foresaw stops alone (W-30).
        """
        if session.quarantined_at is not None:
            return Drained()
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            out_fd = folder.open_out()
        except OSError as error:
            log.warning("no out folder", extra={"session": session.id, "reason": str(error)})
            return Drained()
        try:
            return self._drain(session, out_fd, now)
        except SnapshotMissing:
            return Drained()
        except (SnapshotBusy, SessionFileBusy):
            return Drained(busy=True)
        except SnapshotError as error:
            log.warning("outbound refused", extra={"session": session.id, "reason": str(error)})
            return Drained()
        except sqlite3.OperationalError:
            raise  # the central database is locked or full: nothing that this session did
        except Exception as error:
            # What nobody foresaw in one session's rows would end this process at every start.
            log.exception("output not taken in", extra={"session": session.id})
            set_aside(self._conn, self._paths, session, f"its messages: {error!r}"[:500], now)
            return Drained()
        finally:
            os.close(out_fd)

    def _drain(self, session: Session, out_fd: int, now: datetime) -> Drained:
        token = change_token(out_fd)
        if token is not None and self._seen.get(session.id) == token:
            return Drained()
        scratch = self._paths.run
        with self._marker.reading(session.id), read_committed(out_fd, scratch) as snapshot:
            rows = tuple(snapshot.messages(session.out_seq, ROWS_PER_DRAIN))
            acks = {ack.message_id: ack.status for ack in snapshot.acks()}
        self._marker.note_survived(self._conn, session.id)
        recorded = self._store(session, rows, acks, now) if rows else Recorded()
        # A snapshot gives fewer rows when they are large.
        size = sum(len(row.content) for row in rows)
        more = len(rows) == ROWS_PER_DRAIN or size > LARGE_CHARACTERS
        if token is not None and not more:
            self._seen[session.id] = token
        return Drained(recorded.deliveries, acks, more=more, effects=recorded.effects)

    def _store(
        self,
        session: Session,
        rows: tuple[OutboundRow, ...],
        acks: dict[str, AckStatus],
        now: datetime,
    ) -> Recorded:
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        config = container_configs.get(self._conn, session.agent_group_id)
        output = Output(
            session=session,
            rows=rows,
            acks=acks,
            view=view_turn(folder, acks, _referred(rows), now),
            guarded=config is None or config.taint_guard,
            leaks=self._guard,
        )
        with transaction(self._conn):
            recorded = record_output(self._conn, output, now)
            sessions.set_out_seq(self._conn, session.id, max(row.seq for row in rows))
        reached("delivery.queued")
        return recorded


def _referred(rows: tuple[OutboundRow, ...]) -> frozenset[str]:
    """Rows of the inbox that the output may be about: answered, edited or reacted to."""
    found = {row.in_reply_to for row in rows if row.in_reply_to is not None}
    for row in rows:
        if '"operation"' in row.content:
            found.update(_operand(row))
    return frozenset(found)


def _operand(row: OutboundRow) -> tuple[str, ...]:
    try:
        content = parse_outbound(row.kind, row.content)
    except BadContent:
        return ()
    return (content.message_id,) if isinstance(content, EditOut | ReactionOut) else ()
