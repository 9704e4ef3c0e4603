"""Tells people that a task keeps failing: in its chat, and to an owner.

Called by ``keeper`` inside its transaction, once per row of failures. The series goes on.
"""

import sqlite3
from datetime import datetime

from contract.content import TaskIn, parse_inbound
from contract.errors import BadContent
from contract.inbound.row import InboundRow
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.model import Session
from nanoclaw.sessions.notice import Notice, chat_of, queue_notice

PREVIEW = 80

IN_CHAT = (
    "A scheduled task has failed {failures} times in a row: {prompt!r}. It stays scheduled; ask me "
    "to change or cancel it, or ask whoever runs this installation."
)
TO_OWNER = (
    "The scheduled task {series} of session {session} has failed {failures} times in a row. It "
    "stays scheduled; the agent's log may say why."
)


def alert(
    conn: sqlite3.Connection, session: Session, row: InboundRow, failures: int, now: datetime
) -> None:
    """The row names the occasion, so that a repeated step tells it once."""
    address = row.address if row.address.platform_id else chat_of(conn, session)
    text = IN_CHAT.format(failures=failures, prompt=_preview(row))
    queue_notice(conn, session, Notice(f"task-fails/{row.id}", text, address), now)
    told = TO_OWNER.format(series=row.series_id, session=session.id, failures=failures)
    queue_owner_notice(conn, f"task-fails/{session.id}/{row.id}", told, now)


def _preview(row: InboundRow) -> str:
    """The beginning of the prompt in one line."""
    try:
        content = parse_inbound(row.kind, row.content)
    except BadContent:
        return row.series_id
    prompt = content.prompt if isinstance(content, TaskIn) else row.series_id
    return " ".join(prompt[: PREVIEW * 4].split())[:PREVIEW]
