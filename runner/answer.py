"""Builds the rows and changes of a turn, as values. Called by loop and query; writes nothing.

A row refers to the message it answers and carries on that message's chain and the taint of
everything that was in the turn, so that the host can see where an answer came from.
"""

from collections.abc import Iterable
from datetime import datetime

from contract.address import Address
from contract.content import ChatOut
from contract.content import dump as dump_content
from contract.ids import new_id
from contract.inbound.row import InboundRow, MessageKind
from contract.jsontext import dump
from contract.outbound.row import NewOutbound
from runner.change import Change
from runner.decide import CommandReply, TurnPlan, routing_row
from runner.errors import Trouble
from runner.incoming import Incoming
from runner.reply import Outgoing, ReplyPlan
from runner.store import CURRENT_BATCH

MAX_TAINT = 1000

TEXTS = {
    Trouble.QUOTA: "The usage limit is reached. Please try again later.",
    Trouble.AUTH: "The credentials are missing or have expired. The operator has to renew them.",
    Trouble.BILLING: "There is no credit left. The operator has to top it up.",
    Trouble.OVERLOADED: "The model is overloaded just now. Please send your message again later.",
    Trouble.NETWORK: "The model could not be reached. Please send your message again later.",
    Trouble.REFUSAL: "This was declined by the safety system.",
    Trouble.TOO_LARGE: "The conversation became too large. Start a new one with /clear.",
    Trouble.CONFIG: "The agent is not set up correctly. The operator has to look at the log.",
    Trouble.OVERTIME: "This took longer than allowed and was stopped.",
    Trouble.UNEXPECTED: "Something went wrong. The operator finds it in the log",
}
"""What the chat reads, after ``Error: `` (R-315): no internals, and what to do."""


def chat_row(message: Outgoing, rows: Iterable[InboundRow], now: datetime) -> NewOutbound:
    """``rows`` are what the turn was about; the first gives the chain."""
    about = tuple(rows)
    taints = dict.fromkeys(row.taint for row in about if row.taint)
    return NewOutbound(
        id=new_id("msg"),
        kind=MessageKind.CHAT,
        timestamp=now,
        content=dump_content(ChatOut(text=message.text)),
        address=message.address,
        in_reply_to=message.in_reply_to,
        taint=",".join(taints)[:MAX_TAINT] or None,
        chain_id=about[0].chain_id if about else None,
        hop=about[0].hop if about else 0,
    )


def trouble_row(
    trouble: Trouble, to: InboundRow, now: datetime, reference: str = ""
) -> NewOutbound:
    """``reference`` is in the log, so that an operator finds what the chat does not show."""
    text = TEXTS[trouble]
    if trouble is Trouble.UNEXPECTED:
        text += f" (reference {reference})." if reference else "."
    return chat_row(Outgoing(to.address, f"Error: {text}", to.id), (to,), now)


def claim_change(plan: TurnPlan, continuation_key: str, now: datetime) -> Change:
    """The first transaction of a turn: claims, what is passed over, answers to commands."""
    state: list[tuple[str, str | None]] = []
    if plan.forget:
        state.append((continuation_key, None))
    if plan.items:
        state.append((CURRENT_BATCH, current_batch(plan.items)))
    return Change(
        claim=tuple(item.row.id for item in plan.items),
        complete=plan.settle,
        messages=tuple(_command_row(reply, now) for reply in plan.replies),
        state=tuple(state),
    )


def answer_rows(
    plan: ReplyPlan, items: tuple[Incoming, ...], now: datetime
) -> tuple[NewOutbound, ...]:
    """The messages of a result; the routing row comes first, for the chain."""
    routing = routing_row(items)
    rows = [row for row in (item.row for item in items) if row is not routing]
    about = rows if routing is None else [routing, *rows]
    return tuple(chat_row(message, about, now) for message in plan.messages)


def current_batch(items: tuple[Incoming, ...]) -> str:
    """For tool servers in other processes: what is being answered just now (R-58)."""
    row = routing_row(items)
    address = row.address if row is not None else Address()
    return dump(
        {
            "in_reply_to": row.id if row is not None else None,
            "channel_type": address.channel_type,
            "platform_id": address.platform_id,
            "thread_id": address.thread_id,
            "ids": [item.row.id for item in items],
        }
    )


def _command_row(reply: CommandReply, now: datetime) -> NewOutbound:
    message = Outgoing(reply.row.address, reply.text, reply.row.id)
    return chat_row(message, (reply.row,), now)
