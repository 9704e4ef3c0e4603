"""How the host says something to an agent: a row in its inbox that reads as from the system.

Used wherever an agent must learn of an outcome (H-223). The id is made from the occasion, so that
repeating a step after a crash tells it once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.address import AGENT_CHANNEL, Address
from contract.inbound.row import MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.bell import SWEEP, ring
from nanoclaw.db import sessions
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder

MAX_NOTE_CHARACTERS = 8000
SENDER = "system"


@dataclass(frozen=True, slots=True)
class AgentNote:
    """``note_id`` is the row's id. ``wakes`` False: read with the next message only.

    ``on_wake``: for the first look of a fresh container, so that a dying one cannot take it.
    """

    note_id: str
    text: str
    wakes: bool = True
    on_wake: bool = False


def write_note(
    conn: sqlite3.Connection, paths: HostPaths, session: Session, note: AgentNote, now: datetime
) -> None:
    """Writes the row and, if it wakes, marks the session due. A closed session is open again first:
    its folder may just be on its way into the archive.

    Not inside a transaction of the central database: raises SessionFileBusy and other
    SessionFileErrors, and the caller tries its whole step again.
    """
    sessions.reopen(conn, session.id)
    folder = SessionFolder.of(paths, session.agent_group_id, session.id)
    folder.create()
    text = note.text[:MAX_NOTE_CHARACTERS]
    row = NewInbound(
        id=note.note_id,
        kind=MessageKind.CHAT,
        timestamp=now,
        content=dump({"text": text, "sender": SENDER, "senderId": SENDER}),
        address=Address(AGENT_CHANNEL, session.agent_group_id, None),
        trigger=note.wakes,
        on_wake=note.on_wake,
    )
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(row)
    reached("host.note_written")
    if note.wakes:
        sessions.mark_due(conn, session.id, now)
        ring(paths, SWEEP)
