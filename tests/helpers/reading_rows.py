"""Messages, tasks and receipts for whoever only looks: each as its writer would leave it."""

import sqlite3
from datetime import datetime, timedelta
from typing import Any

from contract.address import Address
from contract.clock import to_text
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from nanoclaw.db import deliveries, inbound_events, sessions, tasks
from nanoclaw.db.inbound_events import NewInboundEvent
from nanoclaw.db.tasks import NewSeries
from nanoclaw.model import Delivery, NewDelivery, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder

CHAT = Address("cli", "local", None)


def chat_row(
    row_id: str, text: str, at: datetime, *, sender: str = "Ann", trigger: bool = True
) -> NewInbound:
    content = dump({"text": text, "sender": sender, "senderId": f"cli:{sender}"})
    return NewInbound(row_id, "chat", at, content, CHAT, trigger=trigger)


def task_row(series_id: str, prompt: str, at: datetime, *, row_id: str = "") -> NewInbound:
    content = dump({"prompt": prompt, "script": None})
    return NewInbound(
        row_id or series_id, "task", at, content, CHAT, process_after=at + timedelta(days=1),
        series_id=series_id,
    )  # fmt: skip


def put_row(paths: HostPaths, session: Session, row: NewInbound) -> None:
    folder = SessionFolder.of(paths, session.agent_group_id, session.id)
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(row)


def hear(conn: sqlite3.Connection, paths: HostPaths, session: Session, row: NewInbound) -> None:
    """A row and the mark that there was traffic, as the router leaves them."""
    put_row(paths, session, row)
    sessions.mark_due(conn, session.id, row.timestamp)


def add_series(
    conn: sqlite3.Connection, paths: HostPaths, session: Session, series_id: str, prompt: str,
    at: datetime,
) -> None:  # fmt: skip
    row = task_row(series_id, prompt, at)
    put_row(paths, session, row)
    new = NewSeries(
        session.id, series_id, session.agent_group_id, at, next_run_at=row.process_after
    )
    assert tasks.create(conn, new)


def say(conn: sqlite3.Connection, number: int, text: str, at: datetime, **changes: Any) -> Delivery:
    """An agent's message, queued."""
    session_id = changes.pop("session_id", "sess-1")
    fields: dict[str, Any] = {
        "delivery_id": f"{session_id}/out-{number}",
        "message_out_id": f"out-{number}",
        "session_id": session_id,
        "seq": 2 * number + 1,
        "instance": "cli",
        "platform_id": "local",
        "kind": "chat",
        "content": dump({"text": text}),
        "created_at": at,
        "next_attempt_at": at,
        "expires_at": at + timedelta(hours=24),
    }
    delivery = deliveries.queue(conn, NewDelivery(**{**fields, **changes}))
    assert delivery is not None
    return delivery


def receive(
    conn: sqlite3.Connection, key: str, at: datetime, *rows: tuple[str, str, str], **changes: Any
) -> int:
    """An event of the router's log; ``rows`` are session, agent group and row."""
    planned = [
        {"session": session, "group": group, "id": row, "kind": "chat", "time": to_text(at),
         "content": "{}", "trigger": True, "message": f"platform-{row}"}
        for session, group, row in rows
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "instance": "cli",
        "event_key": key,
        "received_at": at,
        "outcome": "routed",
        "targets_json": dump({"rows": planned}) if planned else None,
    }
    event_id = inbound_events.insert(conn, NewInboundEvent(**{**fields, **changes}))
    assert event_id is not None
    if planned:
        inbound_events.mark_routed(conn, [event_id])
    return event_id
