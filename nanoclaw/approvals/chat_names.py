"""Asks the channel what a new chat is called (H-210), so that people and agents read a name.

``request`` is called by ``channels`` when a chat without a name turns up, ``carry_out`` is the
effect. A channel that cannot say, or does not answer, changes nothing: nobody waits for a name.
"""

import sqlite3
from datetime import datetime
from typing import Final

from contract.jsontext import dump, parse_object
from nanoclaw.db import effects, messaging_groups
from nanoclaw.db.connection import transaction
from nanoclaw.db.effects import Effect, NewEffect
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.effects.base import Done, EffectContext, HandlerResult, UnderWay
from nanoclaw.events import Resolved, ResolveName
from nanoclaw.link import Answer
from nanoclaw.model import MessagingGroup
from nanoclaw.policy.binding import payload_hash

EFFECT: Final = "resolve_chat_name"
ANSWER_SECONDS = 10.0
MAX_NAME = 200
MAX_PAYLOAD_BYTES = 4096


def request(conn: sqlite3.Connection, chat: MessagingGroup, now: datetime) -> None:
    """Inside the transaction that meets the chat; once per chat and moment."""
    payload = dump({"messagingGroupId": chat.id})
    effects.record(
        conn,
        NewEffect(
            effect_id=f"name/{chat.id}/{int(now.timestamp() * 1000)}",
            kind=EFFECT,
            requested_by="host",
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=now,
        ),
    )


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """Ends with the channel's answer, whatever it is."""
    conn, effect_id = context.conn, effect.effect_id
    payload = parse_object(effect.payload, max_bytes=MAX_PAYLOAD_BYTES)
    chat = messaging_groups.get(conn, str(payload.get("messagingGroupId")))
    if chat is None or chat.name:
        return Done("nothing to ask")

    def name_it(answer: Answer) -> Done:
        name = answer.value if isinstance(answer, Resolved) else None
        name = (name or "").strip()[:MAX_NAME]
        if not name:
            return Done("the channel does not say")
        with transaction(conn):
            messaging_groups.update(conn, chat.id, MessagingGroupChange(name=name))
        return Done("named")

    def on_answer(answer: Answer) -> None:
        context.go_on(effect_id, lambda: name_it(answer))

    frame = ResolveName(chat.platform_id)
    context.requests.to_channel(chat.channel_type, frame, ANSWER_SECONDS, on_answer)
    return UnderWay()
