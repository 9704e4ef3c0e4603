"""Chats that no agent is wired to: their registration by somebody entitled (H-210 to H-219).

``request`` is the router's, ``answer`` takes a decision, ``CARDS`` is what the desk sees of it.
Owners and global administrators decide about a chat; an administrator of one agent group decides
only that *this* agent may have it (W-8). A further card about the same chat has an id of its own,
so that a press on an older one never means one of its options.
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contract.content import Option
from contract.ids import new_id
from nanoclaw.approvals import chat_names, closed, closing, naming
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.cards import code, shown
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.connecting import Connection, Step, audit, connect
from nanoclaw.approvals.entitlement import is_entitled, read_approvers
from nanoclaw.approvals.options import MAX_LABEL, choose, dump_options, option, parse_options
from nanoclaw.db import agent_groups, inbound_events, messaging_groups
from nanoclaw.db import chat_requests as requests
from nanoclaw.db.chat_requests import ChatRequest, NewCard
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import AgentGroup, MessagingGroup

EXPIRES_AFTER = timedelta(days=7)
MAX_WAITING = 50
"""Chats that wait at once; more would only bury the approver in cards."""
MAX_LISTED = 48
"""Agents on one card; a person who has more connects a chat with ``ncl wirings create``."""
MAX_NAME = 80
CARD_MARK: Final = "~"

TOO_LATE: Final = "nobody answered in time"
CONNECT: Final = "connect:"
CHOOSE: Final = "choose_existing"
NEW_AGENT: Final = "new_agent"
REJECT: Final = "reject"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnknownChat:
    """Where somebody has addressed us. ``event_json`` is the form of H-313."""

    messaging_group: MessagingGroup
    is_group: bool
    user_id: str
    sender_name: str | None
    event_json: str


def request(conn: sqlite3.Connection, chat: UnknownChat, now: datetime) -> str | None:
    """Inside the router's transaction. The id that held events wait for (``inbound_events``).

    The same id again while a request is pending; None when nobody can be asked.
    """
    group = chat.messaging_group
    found = requests.get(conn, group.id)
    if found is not None and not closing.is_over(found.expires_at, now):
        return group.id
    if found is not None:
        _end(conn, found, TOO_LATE, now)
    agents = agent_groups.list_all(conn)
    if not agents or not read_approvers(conn, None):
        log.warning("nobody may register a chat", extra={"channel": group.channel_type})
        return None
    if requests.count(conn) >= MAX_WAITING:
        log.warning("too many chats wait already", extra={"channel": group.channel_type})
        return None
    requests.add(
        conn,
        ChatRequest(
            messaging_group_id=group.id,
            agent_group_id=agents[0].id,
            original_message=chat.event_json,
            created_at=now,
            card_id=group.id,
            sender_identity=chat.user_id,
            sender_name=chat.sender_name,
            title="New group chat" if chat.is_group else "New direct chat",
            question=_question(chat),
            options_json=dump_options(_first_options(agents)),
            expires_at=now + EXPIRES_AFTER,
        ),
    )
    if not group.name:
        chat_names.request(conn, group, now)
    return group.id


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Connecting wires the chat and releases the held events."""
    row = requests.get(conn, click.card_id.partition(CARD_MARK)[0])
    if row is None or row.card_id != click.card_id:
        return None
    card = OpenCard(row.card_id, row.title)
    if closing.is_over(row.expires_at, now):
        return _end(conn, row, TOO_LATE, now)
    chosen = _chosen(conn, row, click.value)
    agent_group_id = _target(chosen)
    if not is_entitled(conn, click.user_id, agent_group_id):
        log.warning("click of somebody not entitled", extra={"reason": click.user_id})
        return closed.not_allowed(card)
    if chosen is None:
        log.warning("answer means nothing", extra={"reason": click.value[:MAX_LABEL]})
        return ActionResult(ActionOutcome.UNKNOWN, row.title)
    return _carry_out(conn, row, chosen, click, now)


def _carry_out(
    conn: sqlite3.Connection, row: ChatRequest, chosen: Option, click: Click, now: datetime
) -> ActionResult:
    card = OpenCard(row.card_id, row.title)
    agent_group_id = _target(chosen)
    if agent_group_id is not None:
        if agent_groups.get(conn, agent_group_id) is None:
            requests.take(conn, row.messaging_group_id)
            text = f"{row.title}: that agent is gone; the next message there asks again"
            closing.close_card(conn, row.card_id, text, now)
            return closed.expired(conn, card, now)
        connect(conn, Connection(row, agent_group_id, click.user_id), now)
    elif chosen.value == CHOOSE:
        _ask_which(conn, row, click.user_id)
    elif chosen.value == NEW_AGENT:
        older = requests.owing_name(conn, click.user_id)
        if not naming.ask(conn, row, click, now):
            return ActionResult(ActionOutcome.NOT_ALLOWED, "Press this in a direct chat with me")
        if older is not None and older.messaging_group_id != row.messaging_group_id:
            ask_again(conn, older)
    else:
        _refuse(conn, row, click.user_id, now)
    return closing.decide(conn, card, chosen, click, now)


def ask_again(conn: sqlite3.Connection, row: ChatRequest) -> None:
    """The first question once more, on a new card: what was begun came to nothing."""
    agents = agent_groups.list_all(conn)
    options = dump_options(_first_options(agents))
    requests.set_card(
        conn, row.messaging_group_id, NewCard(_next_id(row), row.title, row.question, options)
    )


def _ask_which(conn: sqlite3.Connection, row: ChatRequest, by: str) -> None:
    """A second card for the one who asked for it (H-214)."""
    agents = agent_groups.list_all(conn)[:MAX_LISTED]
    options = [*map(_connect, agents), option("Ignore this chat", "Ignored", REJECT)]
    question = f"{row.question}\n\nWhich of these agents?"
    card = NewCard(_next_id(row), row.title, question, dump_options(options))
    requests.set_card(conn, row.messaging_group_id, card)
    requests.set_approver(conn, row.messaging_group_id, by)


def _refuse(conn: sqlite3.Connection, row: ChatRequest, by: str, now: datetime) -> None:
    """From now on the chat is silent until somebody wires it (H-213)."""
    messaging_groups.set_denied(conn, row.messaging_group_id, now)
    requests.take(conn, row.messaging_group_id)
    inbound_events.drop_held(conn, row.messaging_group_id)
    audit(conn, row, Step("chat.denied", by), now)


class ChatCards:
    """A ``card_sources.CardSource``."""

    name = "chat"

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        return [_card(conn, row) for row in requests.with_new_card(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        row = _row_of(conn, card_id)
        return _card(conn, row) if row is not None else None

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        row = _row_of(conn, card_id)
        return row is not None and requests.mark_sent(conn, row.messaging_group_id, user_id)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """The next message that addresses us in the chat asks again."""
        row = _row_of(conn, card_id)
        if row is not None:
            log.warning("a chat's card reached nobody", extra={"reason": reason})
            _end(conn, row, reason, now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        """Requests that are too old, and names that nobody has given."""
        for row in requests.expire(conn, now):
            _end(conn, row, TOO_LATE, now)
        for row in requests.owing_since(conn, now - naming.OWED_FOR):
            if row.owed is not None:
                requests.forget_name(conn, row.owed.user_id)
                ask_again(conn, row)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        owed = requests.first_owed(conn)
        moments = [requests.next_expiry(conn), owed + naming.OWED_FOR if owed else None]
        return min((moment for moment in moments if moment is not None), default=None)


CARDS = ChatCards()


def _row_of(conn: sqlite3.Connection, card_id: str) -> ChatRequest | None:
    row = requests.get(conn, card_id.partition(CARD_MARK)[0])
    return row if row is not None and row.card_id == card_id else None


def _end(conn: sqlite3.Connection, row: ChatRequest, reason: str, now: datetime) -> ActionResult:
    """Over without a decision: forgets what was held, and takes the card back."""
    requests.take(conn, row.messaging_group_id)
    inbound_events.drop_held(conn, row.messaging_group_id)
    audit(conn, row, Step("chat.expired", "host", reason), now)
    return closing.end(conn, OpenCard(row.card_id, row.title), now)


def _card(conn: sqlite3.Connection, row: ChatRequest) -> CardToSend:
    chat = messaging_groups.get(conn, row.messaging_group_id)
    return CardToSend(
        card_id=row.card_id,
        title=row.title or "New chat",
        question=row.question,
        options=parse_options(row.options_json),
        expires_at=row.expires_at or row.created_at + EXPIRES_AFTER,
        origin=chat.channel_type if chat is not None else "",
        prefer=row.approver_user_id or None,
    )


def _question(chat: UnknownChat) -> str:
    group = chat.messaging_group
    who = code(chat.sender_name or chat.user_id or "someone", MAX_NAME)
    if not chat.is_group:
        return (
            f"{who} ({code(chat.user_id, MAX_NAME)}) wrote to me directly on {group.channel_type}, "
            "and no agent is wired to this chat. Which agent should answer?"
        )
    name = code(group.name, MAX_NAME) if group.name else f"a {group.channel_type} group"
    return (
        f"{who} ({code(chat.user_id, MAX_NAME)}) addressed me in {name} ({group.channel_type}), "
        "and no agent is wired to this chat. Which agent should answer there?"
    )


def _first_options(agents: Sequence[AgentGroup]) -> list[Option]:
    if len(agents) == 1:
        first = _connect(agents[0])
    else:
        first = option("Choose an agent", "An agent is being chosen", CHOOSE)
    return [
        first,
        option("New agent", "A new agent", NEW_AGENT),
        option("Ignore this chat", "Ignored", REJECT),
    ]


def _connect(agent: AgentGroup) -> Option:
    name = shown(agent.name, MAX_LABEL - 40)
    return option(f"Connect to {name}", f"Connected to {name}", CONNECT + agent.id)


def _chosen(conn: sqlite3.Connection, row: ChatRequest, value: str) -> Option | None:
    """One of the card's options; the administration may also name any agent by its id."""
    chosen = choose(parse_options(row.options_json), value)
    if chosen is None and value.startswith(CONNECT):
        agent = agent_groups.get(conn, value.removeprefix(CONNECT))
        return _connect(agent) if agent is not None else None
    return chosen if chosen is not None and _is_known(chosen.value) else None


def _is_known(value: str) -> bool:
    return value in (CHOOSE, NEW_AGENT, REJECT) or value.startswith(CONNECT)


def _target(chosen: Option | None) -> str | None:
    if chosen is None or not chosen.value.startswith(CONNECT):
        return None
    return chosen.value.removeprefix(CONNECT)


def _next_id(row: ChatRequest) -> str:
    return f"{row.messaging_group_id}{CARD_MARK}{new_id('c').rpartition('-')[2]}"
