"""Keeps the owner's secrets out of outgoing messages.

Asked by ``sender`` in the transaction that would mark messages as being sent, by ``intake`` before
a message is shown to somebody who shall allow it, and by ``spooling`` for files, on its threads.
The end of a message, its audit row and the owner's notice are one commit.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.audit import AuditEntry, record
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, deliveries, sessions
from nanoclaw.db.deliveries import Failure
from nanoclaw.leaks.current import CurrentSecrets
from nanoclaw.leaks.scanner import OVERLAP, Found
from nanoclaw.leaks.telling import REASON, owner_text
from nanoclaw.model import Delivery

PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """What the books say of one that leaks."""

    delivery_id: str
    session_id: str | None
    instance: str
    where: str = "a message"


class LeakGuard:
    """Owned by ``loop``; ``find_in_file`` may be called on any thread."""

    def __init__(
        self, conn: sqlite3.Connection, config: HostConfig, environment: Mapping[str, str]
    ) -> None:
        self._conn = conn
        self._secrets = CurrentSecrets(config, environment)

    def end_leaking(self, batch: Sequence[Delivery], now: datetime) -> list[Delivery]:
        """Inside a transaction: ends those messages of the batch that contain a secret."""
        scanner = self._secrets.scanner()
        ended = []
        for delivery in batch:
            found = scanner.find(_everything(delivery))
            if found is not None:
                message = Message(delivery.delivery_id, delivery.session_id, delivery.instance)
                self.end(message, found, now)
                ended.append(delivery)
        return ended

    def find(self, text: str) -> Found | None:
        return self._secrets.scanner().find(text.encode("utf-8", "replace"))

    def find_in_files(self, paths: Sequence[Path]) -> Found | None:
        """In their names and contents as they are; what is packed or compressed stays unseen."""
        scanner = self._secrets.scanner()
        for path in paths:
            with suppress(OSError), path.open("rb") as file:
                before = b""
                while piece := file.read(PIECE):
                    found = scanner.find(before + piece)
                    if found is not None:
                        return found
                    before = piece[-OVERLAP:]
        return None

    def end(self, message: Message, found: Found, now: datetime) -> None:
        """Inside a transaction."""
        session = sessions.get(self._conn, message.session_id or "")
        group = agent_groups.get(self._conn, session.agent_group_id) if session else None
        deliveries.mark_failed(self._conn, message.delivery_id, REASON, now, Failure.LEAK)
        group_id = group.id if group is not None else None
        entry = AuditEntry(
            "leak.stopped",
            f"agent:{group_id}" if group_id else "host",
            found.name,
            {"where": message.where, "form": found.form, "delivery": message.delivery_id},
            agent_group_id=group_id,
            session_id=message.session_id,
        )
        record(self._conn, entry, now)
        agent = group.name if group is not None else "the host"
        text = owner_text(agent, f"{message.where} to {message.instance}", found)
        occasion = f"leak/{group_id or 'host'}/{now.date()}/{Path(found.name).name}"
        queue_owner_notice(self._conn, occasion, text, now)


def _everything(delivery: Delivery) -> bytes:
    names = json.dumps([file.name for file in delivery.files]) if delivery.files else ""
    return f"{delivery.content}\n{names}".encode("utf-8", "replace")
