"""What channels report besides messages: pressed buttons, facts about chats, late failures.

Called by ``routing.loop``, one transaction each. Raises sqlite3.OperationalError when nothing could
be stored; the worker then asks again. A press counts for whom the platform says it was, and the
card's own rules say what it is worth (C-15, C-65).
"""

import sqlite3
from dataclasses import dataclass
from typing import assert_never

from contract.clock import utc_now
from nanoclaw.approvals.answers import answer
from nanoclaw.approvals.clicks import Click
from nanoclaw.db import deliveries
from nanoclaw.db.connection import transaction
from nanoclaw.events import Action, ActionResult, DeliveryUpdate, Metadata, Ok
from nanoclaw.permissions.identity import user_id_of
from nanoclaw.routing.metadata import store_metadata

MAX_DETAIL = 500
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Source:
    """The account that reports, and what kind of channel it is one of."""

    instance: str
    kind: str


def take_fact(
    conn: sqlite3.Connection, source: Source, body: Action | Metadata | DeliveryUpdate
) -> ActionResult | Ok:
    match body:
        case Action():
            with transaction(conn):
                return answer(conn, _click(source, body), utc_now())
        case Metadata():
            store_metadata(conn, source.instance, body)
            return Ok()
        case DeliveryUpdate():
            _note_late(conn, source, body)
            return Ok()
        case _:
            assert_never(body)


def _click(source: Source, action: Action) -> Click:
    return Click(
        card_id=action.question_id,
        value=action.value,
        user_id=user_id_of(source.kind, action.user_id),
        instance=source.instance,
        platform_id=action.platform_id,
        message_id=action.message_id,
    )


def _note_late(conn: sqlite3.Connection, source: Source, update: DeliveryUpdate) -> None:
    """C-16: what the platform had accepted did not arrive after all; other news is decoration."""
    if update.state != FAILED:
        return
    detail = update.detail[:MAX_DETAIL] or "the platform says that it did not arrive"
    with transaction(conn):
        deliveries.note_late_failure(
            conn, source.instance, update.platform_message_id, detail, utc_now()
        )
