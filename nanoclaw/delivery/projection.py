"""Writes back into a session's ``inbound.db`` what became of the agent's messages and claims.

The truth stands in the central database; the agent's view of it is a projection that may lag.
A file that a container has locked is left for later (50 ms at most). Called by ``delivery.loop``
after messages were sent and whenever the agent has settled claims.
"""

import logging
import sqlite3
from datetime import datetime

from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.inbound.row import AckStatus, DeliveredMark, DeliveredStatus
from contract.inbound.writer import open_inbound
from contract.killpoint import reached
from nanoclaw.db import deliveries
from nanoclaw.db.connection import transaction
from nanoclaw.model import Delivery, DeliveryState, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder

log = logging.getLogger(__name__)


class Projection:
    """Remembers which settled claims each file has been told already."""

    def __init__(self, conn: sqlite3.Connection, paths: HostPaths) -> None:
        self._conn = conn
        self._paths = paths
        self._told: dict[str, dict[str, AckStatus]] = {}
        self._acks: dict[str, dict[str, AckStatus]] = {}

    def forget(self, session_id: str) -> None:
        self._told.pop(session_id, None)
        self._acks.pop(session_id, None)

    def note_acks(self, session_id: str, acks: dict[str, AckStatus]) -> bool:
        """Takes over a snapshot's claims; True when some have been settled since the last time."""
        settled: dict[str, AckStatus] = {
            key: value for key, value in acks.items() if value is not AckStatus.PROCESSING
        }
        self._acks[session_id] = settled
        return settled != self._told.get(session_id, {})

    def write(self, session: Session, now: datetime) -> bool:
        """One transaction in the session's file. False: it is busy, try again."""
        receipts = deliveries.unprojected(self._conn, session.id)
        acks = self._acks.get(session.id, {})
        if not receipts and acks == self._told.get(session.id, {}):
            return True
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            with open_inbound(folder.inbound_db) as writer:
                writer.mark_delivered([_mark(receipt, now) for receipt in receipts])
                writer.sync_acks(acks)
        except SessionFileBusy:
            return False
        except (SessionFileError, SchemaMismatch, OSError) as error:
            log.error("receipts not written", extra={"session": session.id, "reason": str(error)})
            return True
        reached("delivery.projected")
        self._told[session.id] = acks
        if receipts:
            with transaction(self._conn):
                deliveries.mark_projected(self._conn, [receipt.delivery_id for receipt in receipts])
        return True


def _mark(receipt: Delivery, now: datetime) -> DeliveredMark:
    sent = receipt.state in (DeliveryState.SENT, DeliveryState.UNCERTAIN)
    ids = receipt.platform_message_ids
    return DeliveredMark(
        receipt.message_out_id,
        ids[0] if ids else None,
        DeliveredStatus.DELIVERED if sent else DeliveredStatus.FAILED,
        now,
    )
