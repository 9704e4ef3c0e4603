"""Tells agents and people what became of messages that did not arrive as they were meant (C-38).

A ``companion``. What is still to be told stands in the books (``told = 0``), so nothing is lost
when the process dies; ids made from the messages keep a repeated step from saying it twice. A
busy session file means "again soon" and holds up no other session.
"""

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from contract.address import Address
from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.killpoint import reached
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import agent_groups, deliveries, delivery_steps, messaging_groups, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.failure_texts import (
    NOTICE,
    People,
    agent_note,
    chat_notice,
    decide_people,
    owner_notice,
)
from nanoclaw.model import Delivery, DeliverySource, Session, SessionStatus
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sessions.host_text import HostText, queue_text
from nanoclaw.sessions.note import AgentNote, write_note

AT_ONCE = 200
BUSY_SECONDS = 0.25
QUIET = timedelta(hours=1)
"""An agent that is woken by a failure answers, and that may fail again: once an hour and chat is
often enough to wake it, the rest it reads with its next message."""

log = logging.getLogger(__name__)


class Telling:
    """Owned by the ``delivery`` process."""

    def __init__(self, reactor: Reactor, conn: sqlite3.Connection, paths: HostPaths) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._timer: Timer | None = None

    def start(self) -> None:
        self.look()

    def look(self) -> None:
        """Everything that is to be told, by session."""
        waiting = delivery_steps.untold(self._conn, AT_ONCE)
        if not waiting:
            return
        busy = False
        by_session = sorted(waiting, key=lambda item: (item.session_id or "", item.row_number))
        for session_id, group in groupby(by_session, key=lambda item: item.session_id):
            busy = not self._tell(session_id, list(group)) or busy
        if busy and self._timer is None:
            self._timer = self._reactor.call_later(BUSY_SECONDS, self._again)
        elif len(waiting) == AT_ONCE and not busy:
            self._reactor.post(self.look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self._timer = None
        self.look()

    def _tell(self, session_id: str | None, group: Sequence[Delivery]) -> bool:
        """False: the session's file is busy."""
        now = utc_now()
        session = sessions.get(self._conn, session_id) if session_id is not None else None
        if session is not None and not self._tell_agent(session, group, now):
            return False
        with transaction(self._conn):
            queued = self._tell_people(group, now)
            for delivery in group:
                delivery_steps.mark_told(self._conn, delivery)
        reached("delivery.told")
        if queued:
            ring(self._paths, DELIVERY)
        return True

    def _tell_agent(self, session: Session, group: Sequence[Delivery], now: datetime) -> bool:
        own = [item for item in group if item.source is DeliverySource.AGENT]
        told = agent_note(own)
        if told is None or session.status is SessionStatus.CLOSED:
            return True
        wakes = any(not delivery_steps.told_before(self._conn, item, now - QUIET) for item in own)
        try:
            write_note(
                self._conn, self._paths, session, AgentNote(told.note_id, told.text, wakes), now
            )
        except SessionFileBusy:
            return False
        except (SessionFileError, SchemaMismatch, OSError) as error:
            log.error("agent not told", extra={"session": session.id, "reason": str(error)})
        return True

    def _tell_people(self, group: Sequence[Delivery], now: datetime) -> bool:
        """One text for each chat, however many of its messages failed."""
        said: set[tuple[People, str, str]] = set()
        for delivery in group:
            people = decide_people(delivery)
            place = (people, delivery.instance, delivery.platform_id)
            if people is People.NOBODY or place in said:
                continue
            said.add(place)
            if people is People.CHAT:
                self._tell_chat(delivery, now)
            else:
                self._tell_owner(delivery, now)
        return bool(said)

    def _tell_chat(self, delivery: Delivery, now: datetime) -> None:
        said = HostText(
            delivery_id=f"{NOTICE}/{delivery.delivery_id}",
            text=chat_notice(delivery),
            address=Address(delivery.instance, delivery.platform_id, delivery.thread_id),
            in_reply_to=delivery.in_reply_to,
            reply_hint=delivery.reply_hint,
            reply_to_message_id=delivery.reply_to_message_id,
            completes=delivery.completes,
        )
        queue_text(self._conn, said, now)

    def _tell_owner(self, delivery: Delivery, now: datetime) -> None:
        """Of a notice that did not reach its chat the message that it was about is what counts."""
        about = deliveries.get(self._conn, delivery.delivery_id.removeprefix(f"{NOTICE}/"))
        delivery = about or delivery
        session = sessions.get(self._conn, delivery.session_id or "")
        group = agent_groups.get(self._conn, session.agent_group_id) if session else None
        chat = messaging_groups.find_by_address(self._conn, delivery.instance, delivery.platform_id)
        text = owner_notice(
            delivery,
            group.name if group is not None else "an agent",
            (chat.name if chat is not None else None) or delivery.platform_id,
        )
        occasion = f"{NOTICE}/{delivery.delivery_id}/{delivery.failure}"
        queue_owner_notice(self._conn, occasion, text, now)
