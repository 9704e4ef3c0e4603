"""The session row that one verdict makes of an event. Pure.

Called by ``routing.verdicts``. Ids are made from the event and the agent, never by chance, so that
a repeated event and a replayed log are recognised by the session file itself (H-90, H-96).
"""

import hashlib
from datetime import datetime

from contract.address import Address
from contract.clock import parse_text
from contract.inbound.row import NewInbound
from nanoclaw.model import Session, SessionMode
from nanoclaw.routing.arrival import Arrival
from nanoclaw.routing.content import render_content
from nanoclaw.routing.decide import Deliver
from nanoclaw.routing.incoming_files import plan_files
from nanoclaw.routing.plan import PlannedRow
from nanoclaw.sessions.attachments import is_safe_attachment_name
from nanoclaw.sessions.decide import SessionKey

MAX_ID_BYTES = 180
"""A row id also names a folder; longer or unsafe ones are replaced by a hash (W-12, C-10)."""


def is_safe_message_id(message_id: str) -> bool:
    """Whether the id may be a row id and so the name of a folder for attachments."""
    return (
        is_safe_attachment_name(message_id)
        and len(message_id.encode("utf-8", "replace")) <= MAX_ID_BYTES
        and not message_id.startswith(".")
        and message_id.isprintable()
    )


def plan_row(arrival: Arrival, verdict: Deliver, session: Session, now: datetime) -> PlannedRow:
    event = arrival.event
    message_id = _message_id(arrival, verdict.session)
    files = plan_files(event.attachments, message_id, int(now.timestamp() * 1000))
    row = NewInbound(
        id=f"{message_id}:{verdict.agent.agent_group.id}",
        kind=event.kind,
        timestamp=parse_text(event.timestamp) or now,
        content=render_content(event, arrival.user_id, files.entries),
        address=answer_address(arrival),
        trigger=verdict.wakes,
        taint=verdict.taint,
        reply_hint=event.reply_hint,
        platform_message_id=event.message_id,
        event_key=event.event_key,
    )
    return PlannedRow(
        session.id, verdict.agent.agent_group.id, row, message_id if files.files else "",
        files.files,
    )  # fmt: skip


def _message_id(arrival: Arrival, key: SessionKey) -> str:
    """The platform's message id where it is a safe and unique name, else a hash (C-10).

    Platform ids are unique per chat only, so a session that several chats share needs the hash;
    edits and reactions bear the id of the message that they are about.
    """
    event = arrival.event
    own = not event.edited and not event.reaction
    if own and key.mode is not SessionMode.AGENT_SHARED and is_safe_message_id(event.message_id):
        return event.message_id
    unique = "\0".join((arrival.instance, event.platform_id, event.event_key))
    return "msg-" + hashlib.sha256(unique.encode("utf-8", "replace")).hexdigest()[:24]


def answer_address(arrival: Arrival) -> Address:
    event = arrival.event
    if event.answer_to is not None:
        other = event.answer_to
        return Address(other.channel_type, other.platform_id, other.thread_id)
    return Address(arrival.channel_type, event.platform_id, arrival.thread_id)
