"""Pairing: a code shown by the set-up and sent from a chat proves whose chat it is (C-84 to C-87).

``create_code`` is for the set-up and the administration, ``intercept`` for the router, before any
rule about senders. A code fits the channel account it was made for, lives for 15 minutes, is used
once, and dies after five wrong tries; a chat that has guessed five times is not listened to for a
while. A code that was used is neither routed nor stored nor logged.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contract.ids import new_id
from nanoclaw.approvals import closing, held
from nanoclaw.approvals.cards import code as quoted
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.incoming import Incoming, Intercepted
from nanoclaw.approvals.options import option
from nanoclaw.approvals.say import Place, say
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import (
    agent_groups,
    chat_requests,
    dms,
    members,
    messaging_groups,
    pairing,
    roles,
    users,
    wirings,
)
from nanoclaw.db.dms import UserDm
from nanoclaw.db.members import Member
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.db.pairing import MAX_WRONG_TRIES, PairedChat, Pairing
from nanoclaw.model import EngageMode, MessagingGroup, Role, RoleGrant, User, Wiring
from nanoclaw.permissions.identity import kind_of
from nanoclaw.sessions.destinations import request_refresh

REASON = "pairing"
OWNER: Final = "owner"
CHAT: Final = "chat:"
LIFETIME = timedelta(minutes=15)
TRIES_WINDOW = timedelta(minutes=10)
KEPT_FOR = timedelta(days=1)
DRAWS = 50
"""Tries to find a code that no other pending one has."""
_TYPED = re.compile(r"(?:@\S{1,64}\s+)?([0-9]{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Intent:
    """What a chat becomes: ``owner`` makes its sender an owner, ``chat:<agent group id>`` wires it.

    ``created_by`` is the user who asked for the code: one for an owner counts only if an owner has
    made it, or there is none yet.
    """

    instance: str
    text: str
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewCode:
    """``code`` is shown to the person and stored nowhere."""

    pairing_id: str
    code: str
    expires_at: datetime


def create_code(conn: sqlite3.Connection, intent: Intent, now: datetime) -> NewCode:
    """Inside a write transaction; an earlier code for the same intent ends.

    Raises ValueError for an intent that means nothing, and when no free code was found.
    """
    agent = intent.text.removeprefix(CHAT)
    if intent.text != OWNER and not (intent.text.startswith(CHAT) and agent):
        raise ValueError(f"pairing intent {intent.text!r}: use 'owner' or 'chat:<agent group id>'")
    if intent.text != OWNER and agent_groups.get(conn, agent) is None:
        raise ValueError(f"there is no agent group {agent!r}; `ncl groups list` shows them")
    pairing.prune(conn, now - KEPT_FOR)
    taken = {item.code_hash for item in pairing.pending(conn, intent.instance, now)}
    for _ in range(DRAWS):
        code = f"{secrets.randbelow(10_000):04d}"
        code_hash = _hash(intent.instance, code)
        if code_hash in taken:
            continue
        new = NewCode(new_id("pair"), code, now + LIFETIME)
        row = Pairing(
            new.pairing_id, intent.instance, code_hash, intent.text, now, new.expires_at,
            intent.created_by,
        )  # fmt: skip
        try:
            pairing.create(conn, row)
        except sqlite3.IntegrityError:
            continue  # a code that has run out and was not cleared away yet
        return new
    raise ValueError("too many pairing codes are waiting; try again in a quarter of an hour")


def intercept(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Intercepted | None:
    """Inside the router's transaction; only four digits cost more than a look at the text."""
    event = incoming.event
    found = _TYPED.fullmatch(event.text.strip()) if len(event.text) <= 100 else None
    if found is None or not event.sender_id:
        return None
    waiting = pairing.pending(conn, incoming.instance, now)
    if not waiting:
        return None
    since = now - TRIES_WINDOW
    tries = pairing.wrong_tries_since(conn, incoming.instance, event.platform_id, since)
    if tries >= MAX_WRONG_TRIES:
        return None
    digest = _hash(incoming.instance, found[1])
    matching = [item for item in waiting if hmac.compare_digest(item.code_hash, digest)]
    if not matching:
        pairing.record_wrong_try(conn, incoming.instance, event.platform_id, now)
        return None
    return _consume(conn, incoming, matching[0], now)


def _consume(
    conn: sqlite3.Connection, incoming: Incoming, code: Pairing, now: datetime
) -> Intercepted | None:
    event = incoming.event
    chat = _chat(conn, incoming, now)
    used = PairedChat(event.platform_id, incoming.user_id, chat.is_group, chat.name)
    if not pairing.consume(conn, code.pairing_id, used, now):
        return None
    user_id = incoming.user_id
    users.upsert(conn, User(user_id, kind_of(user_id), now, display_name=event.sender_name))
    if not chat.is_group:
        dms.upsert(conn, UserDm(incoming.user_id, incoming.channel_type, chat.id, now))
    if code.intent == OWNER:
        text = _make_owner(conn, incoming, code, now)
    else:
        text = _wire(conn, incoming, code, chat, now)
    detail = {"intent": code.intent, "chat": chat.id, "result": text}
    record(conn, AuditEntry("chat.paired", incoming.user_id, code.pairing_id, detail), now)
    place = Place(incoming.instance, event.platform_id, event.thread_id)
    say(conn, place, f"pairing/{code.pairing_id}", text, now)
    return Intercepted(REASON)


def _chat(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> MessagingGroup:
    """The chat as it is known; made if it was not (policy ``strict``), corrected if it was."""
    event = incoming.event
    new = MessagingGroup(
        new_id("mg"), incoming.channel_type, event.platform_id, now, is_group=bool(event.is_group)
    )
    chat = messaging_groups.find_or_create(conn, new)
    if event.is_group is not None and event.is_group != chat.is_group:
        messaging_groups.update(conn, chat.id, MessagingGroupChange(is_group=event.is_group))
    if chat.denied_at is not None:
        messaging_groups.set_denied(conn, chat.id, None)
    found = messaging_groups.get(conn, chat.id)
    assert found is not None, "it was found or made above"
    return found


def _make_owner(conn: sqlite3.Connection, incoming: Incoming, code: Pairing, now: datetime) -> str:
    by = code.created_by
    is_first = not roles.has_any_owner(conn)
    if not is_first and not (by is not None and roles.is_owner(conn, by)):
        return "This chat is known now. There is an owner already, so nothing else has changed."
    granted_by = by if by is not None and users.get(conn, by) is not None else None
    grant = RoleGrant(incoming.user_id, Role.OWNER, now, granted_by=granted_by)
    if roles.grant(conn, grant):
        detail = {"role": Role.OWNER, "by": "pairing"}
        entry = AuditEntry("role.granted", by or incoming.user_id, incoming.user_id, detail)
        record(conn, entry, now)
    return "This chat is yours: you are an owner of this installation now."


def _wire(
    conn: sqlite3.Connection, incoming: Incoming, code: Pairing, chat: MessagingGroup,
    now: datetime,
) -> str:  # fmt: skip
    """H-303: whoever has the code listens to everything directly, to mentions in a group."""
    agent = agent_groups.get(conn, code.intent.removeprefix(CHAT))
    if agent is None:
        return "This chat is known now, but the agent it was meant for is gone."
    if wirings.get_by_pair(conn, chat.id, agent.id) is None:
        wirings.create(
            conn,
            Wiring(
                new_id("mga"), chat.id, agent.id, now,
                engage_mode=EngageMode.MENTION if chat.is_group else EngageMode.PATTERN,
                engage_pattern=None if chat.is_group else ".",
            ),
        )  # fmt: skip
        request_refresh(conn, [agent.id], code.pairing_id, now)
    members.add(conn, Member(incoming.user_id, agent.id, now))
    _settle_request(conn, incoming, chat, now)
    return f"This chat is connected to {quoted(agent.name)}."


def _settle_request(
    conn: sqlite3.Connection, incoming: Incoming, chat: MessagingGroup, now: datetime
) -> None:
    """Somebody may have been asked about this chat meanwhile; that is answered now."""
    row = chat_requests.get(conn, chat.id)
    if row is None:
        return
    chat_requests.take(conn, chat.id)
    held.release(
        conn, held.Held(chat.id, chat.channel_type, row.original_message, row.created_at), now
    )
    chosen = option("Paired", "Paired with a code", "paired")
    card = OpenCard(row.card_id, row.title)
    place = incoming.instance, incoming.event.platform_id
    click = Click(row.card_id, chosen.value, incoming.user_id, *place)
    closing.decide(conn, card, chosen, click, now)


def _hash(instance: str, code: str) -> str:
    """Keeps the code out of sight; what protects it is its short life and the count of tries."""
    return hashlib.sha256(f"{instance}\0{code}".encode()).hexdigest()
