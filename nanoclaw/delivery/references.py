"""Which message of the platform an edit or a reaction means (H-134, W-29).

An agent may name a message by the platform's own id, by the id of a row of its inbox, or by that of
a message of its own. ``read_reference`` finds out which, when the row is taken in; the id that the
platform gave to an own message is known only once that was sent, so ``resolve_own`` looks it up
right before the edit goes out.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from contract.content import EditOut, OutboundContent, ReactionOut, dump, parse_outbound
from contract.inbound.row import InboundRow
from nanoclaw.db import deliveries
from nanoclaw.model import Delivery, DeliveryState, Session

_ON_ITS_WAY = (DeliveryState.QUEUED, DeliveryState.SENDING)


@dataclass(frozen=True, slots=True)
class Reference:
    """``content`` names the message as the platform does, unless it is ``own`` (a row's id)."""

    content: OutboundContent
    own: str | None = None


def read_reference(
    conn: sqlite3.Connection,
    session: Session,
    content: EditOut | ReactionOut,
    rows: Mapping[str, InboundRow],
) -> Reference:
    """``rows`` are those of the session's inbox that the output refers to."""
    named = content.message_id
    row = rows.get(named)
    if row is not None and row.platform_message_id:
        return Reference(replace(content, message_id=row.platform_message_id))
    if row is None and deliveries.get(conn, f"{session.id}/{named}") is not None:
        return Reference(content, own=named)
    return Reference(replace(content, message_id=platform_id(named, session.agent_group_id)))


def platform_id(row_id: str, agent_group_id: str) -> str:
    """Rows of the inbox carry the platform's id with the agent's behind it (H-90)."""
    return row_id.removesuffix(f":{agent_group_id}")


@dataclass(frozen=True, slots=True)
class Resolved:
    content: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The message that is meant is still on its way."""


@dataclass(frozen=True, slots=True)
class Never:
    reason: str


def resolve_own(conn: sqlite3.Connection, delivery: Delivery) -> Resolved | NotYet | Never:
    """The content with the platform's id of the own message that it is about."""
    meant = deliveries.get(conn, f"{delivery.session_id}/{delivery.refers_to}")
    if meant is None:
        return Never("the message that it is about is not in the books any more")
    if meant.state is DeliveryState.HELD:
        # Perhaps for days, and everything behind the edit would wait with it.
        return Never("a person has still to allow the message that it is about")
    if meant.state in _ON_ITS_WAY:
        return NotYet()
    if meant.state is not DeliveryState.SENT:
        return Never("the message that it is about was not delivered")
    if not meant.platform_message_ids:
        return Never("the platform gave the message that it is about no id")
    content = parse_outbound(delivery.kind, delivery.content)
    if not isinstance(content, EditOut | ReactionOut):
        return Never("it is neither an edit nor a reaction")
    return Resolved(dump(replace(content, message_id=meant.platform_message_ids[0])))
