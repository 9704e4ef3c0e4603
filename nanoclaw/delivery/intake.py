"""Takes what an agent has written into the host's own books.

``drain`` reads a session's ``outbound.db`` as a snapshot, judges each new row and stores a
receipt for it in the central database, content included: from then on the message is the host's
and nothing the agent does to its files can lose, change or repeat it. Called by
``delivery.loop``; sends nothing.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from contract.errors import (
    SchemaMismatch,
    SessionFileError,
    SnapshotBusy,
    SnapshotError,
    SnapshotMissing,
)
from contract.inbound.reader import read_row
from contract.inbound.row import AckStatus, InboundRow
from contract.killpoint import reached
from contract.outbound.row import OutboundRow
from contract.outbound.snapshot import ChangeToken, change_token, read_snapshot
from nanoclaw.db import deliveries, destinations, messaging_groups, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.decide import LIFETIME, Refuse, Send, TargetFacts, decide_target
from nanoclaw.model import Delivery, DeliveryState, NewDelivery, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.quarantine import WorkMarker

ROWS_PER_DRAIN = 256
_SETTLED = (AckStatus.COMPLETED, AckStatus.FAILED)
_OPEN = (DeliveryState.QUEUED, DeliveryState.SENDING)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one look at a session brought."""

    deliveries: tuple[Delivery, ...] = ()
    acks: dict[str, AckStatus] = field(default_factory=dict)
    more: bool = False
    busy: bool = False


class Intake:
    """Reads sessions; remembers only what tells a changed file from an unchanged one."""

    def __init__(self, conn: sqlite3.Connection, paths: HostPaths, marker: WorkMarker) -> None:
        self._conn = conn
        self._paths = paths
        self._marker = marker
        self._seen: dict[str, ChangeToken] = {}

    def forget(self, session_id: str) -> None:
        self._seen.pop(session_id, None)

    def drain(self, session: Session, now: datetime) -> Drained:
        """Stores receipts for new rows. Never raises for what the agent did to its files."""
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
        except SnapshotBusy:
            return Drained(busy=True)
        except SnapshotError as error:
            log.warning("outbound refused", extra={"session": session.id, "reason": str(error)})
            return Drained()
        finally:
            os.close(out_fd)

    def _drain(self, session: Session, out_fd: int, now: datetime) -> Drained:
        token = change_token(out_fd)
        if token is not None and self._seen.get(session.id) == token:
            return Drained()
        with self._marker.reading(session.id), read_snapshot(out_fd) as snapshot:
            rows = snapshot.messages(session.out_seq, ROWS_PER_DRAIN)
            acks = {ack.message_id: ack.status for ack in snapshot.acks()}
        self._marker.note_survived(self._conn, session.id)
        stored = self._store(session, rows, acks, now) if rows else ()
        more = len(rows) == ROWS_PER_DRAIN
        if token is not None and not more:
            self._seen[session.id] = token
        return Drained(stored, acks, more=more)

    def _store(
        self,
        session: Session,
        rows: list[OutboundRow],
        acks: dict[str, AckStatus],
        now: datetime,
    ) -> tuple[Delivery, ...]:
        last_answers = {row.in_reply_to: row.id for row in rows if row.in_reply_to}
        stored: list[Delivery] = []
        with transaction(self._conn):
            for row in rows:
                settled = acks.get(row.in_reply_to or "") in _SETTLED
                completes = settled and last_answers[row.in_reply_to or ""] == row.id
                new = self._receipt(session, row, now, completes=completes)
                delivery = deliveries.queue(self._conn, new)
                if delivery is not None and delivery.state in _OPEN:
                    stored.append(delivery)
            sessions.set_out_seq(self._conn, session.id, max(row.seq for row in rows))
        reached("delivery.queued")
        return tuple(stored)

    def _receipt(
        self, session: Session, row: OutboundRow, now: datetime, *, completes: bool
    ) -> NewDelivery:
        decision = decide_target(self._facts(session, row))
        parent = self._parent(session, row)
        new = NewDelivery(
            delivery_id=f"{session.id}/{row.id}",
            session_id=session.id,
            message_out_id=row.id,
            seq=row.seq,
            instance=row.address.channel_type or "",
            platform_id=row.address.platform_id or "",
            thread_id=row.address.thread_id,
            kind=row.kind,
            content=row.content,
            in_reply_to=row.in_reply_to,
            reply_hint=parent.reply_hint if parent else None,
            reply_to_message_id=_platform_id(row, parent, session.agent_group_id),
            completes=completes,
            state=DeliveryState.QUEUED,
            next_attempt_at=max(row.deliver_after or now, now),
            created_at=now,
            expires_at=max(row.deliver_after or now, now) + LIFETIME,
        )
        match decision:
            case Send():
                return new
            case Refuse(reason):
                log.warning(
                    "message refused",
                    extra={"session": session.id, "message_id": row.id, "reason": reason.value},
                )
                return replace(new, state=DeliveryState.FAILED, last_error=reason.value)
            case _:
                assert_never(decision)

    def _parent(self, session: Session, row: OutboundRow) -> InboundRow | None:
        """The message that is answered; without it only the place of the answer is less exact."""
        if row.in_reply_to is None:
            return None
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            return read_row(folder.inbound_db, row.in_reply_to)
        except (SessionFileError, SchemaMismatch) as error:
            log.info("parent not read", extra={"session": session.id, "reason": str(error)})
            return None

    def _facts(self, session: Session, row: OutboundRow) -> TargetFacts:
        channel_type, platform_id = row.address.channel_type, row.address.platform_id
        chat = None
        if channel_type and platform_id:
            chat = messaging_groups.find_by_address(self._conn, channel_type, platform_id)
        return TargetFacts(
            row=row,
            chat_known=chat is not None,
            is_own_chat=chat is not None and chat.id == session.messaging_group_id,
            has_destination=chat is not None
            and destinations.has_channel(self._conn, session.agent_group_id, chat.id),
        )


def _platform_id(row: OutboundRow, parent: InboundRow | None, agent_group_id: str) -> str | None:
    """The platform's id of the answered message; old rows have it in their own id (W-29)."""
    if row.in_reply_to is None:
        return None
    if parent is not None and parent.platform_message_id:
        return parent.platform_message_id
    return row.in_reply_to.removesuffix(f":{agent_group_id}")
