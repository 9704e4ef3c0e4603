"""Builds the rows and changes of a turn, as values. Called by loop and query; writes nothing.

A row refers to the message it answers and carries on that message's chain and the taint of
everything that was in the turn, so that the host can see where an answer came from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contract.address import Address
from contract.content import ChatOut
from contract.content import dump as dump_content
from contract.ids import derived_id, new_id
from contract.inbound.row import InboundRow, MessageKind
from contract.jsontext import dump
from contract.outbound.row import NewOutbound
from runner.change import Change
from runner.decide import TurnPlan, routing_row
from runner.errors import Trouble
from runner.incoming import Incoming
from runner.provenance import Provenance, joined_taint, provenance_of
from runner.providers.base import Origin, Sent
from runner.reply import Outgoing, ReplyPlan
from runner.store import CURRENT_BATCH

TEXTS = {
    Trouble.QUOTA: "The usage limit is reached. Please try again later.",
    Trouble.AUTH: "The credentials are missing or have expired. The operator has to renew them.",
    Trouble.BILLING: "There is no credit left. The operator has to top it up.",
    Trouble.DAY_LIMIT: "The daily spending limit of this agent is reached. "
    "It answers again tomorrow, or when the operator has raised the limit.",
    Trouble.BUDGET: "A budget is used up.",
    Trouble.BUDGET_TOLD: "A budget is used up.",
    Trouble.OVERLOADED: "The model is overloaded just now. Please send your message again later.",
    Trouble.NETWORK: "The model could not be reached. Please send your message again later.",
    Trouble.REFUSAL: "This was declined by the safety system.",
    Trouble.TOO_LARGE: "The conversation became too large and was started anew. "
    "My memory files are untouched; please send your message again.",
    Trouble.CONFIG: "The agent is not set up correctly. The operator has to look at the log.",
    Trouble.OVERTIME: "This took longer than allowed and was stopped.",
    Trouble.UNEXPECTED: "Something went wrong. The operator finds it in the log",
}
"""What the chat reads, after ``Error: `` (R-315): no internals, and what to do."""
STILL_TRYING_TEXT = "The model does not answer just now. I keep trying."
UNDELIVERED_TEXT = (
    "Error: The agent's answer could not be delivered, because it did not say to whom it goes. "
    "Please ask again."
)
MAX_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Told:
    """A trouble in words: ``reference`` is in the log, ``shown`` is what the chat may also read."""

    trouble: Trouble
    reference: str = ""
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text comes from: its stored answer, and what tools brought into its turn."""

    origin: Origin | None = None
    taint: frozenset[str] = frozenset()


FROM_ROWS = Source()


def chat_row(
    message: Outgoing, about: Provenance, now: datetime, message_id: str | None = None
) -> NewOutbound:
    """``about`` is what the turn was about."""
    provenance = about.to(message.address)
    return NewOutbound(
        id=message_id or new_id("msg"),
        kind=MessageKind.CHAT,
        timestamp=now,
        content=dump_content(ChatOut(text=message.text)),
        address=message.address,
        in_reply_to=message.in_reply_to,
        taint=provenance.taint,
        chain_id=provenance.chain_id,
        hop=provenance.hop,
    )


def notice_row(text: str, to: InboundRow, now: datetime) -> NewOutbound:
    """A sentence of ours as the answer to a row."""
    return chat_row(Outgoing(to.address, text, to.id), provenance_of((to,)), now)


def trouble_row(told: Told, to: InboundRow, now: datetime) -> NewOutbound:
    """The sentence of R-315, to where ``to`` came from."""
    text = TEXTS[told.trouble]
    if told.trouble is Trouble.UNEXPECTED:
        text += f" (reference {told.reference})." if told.reference else "."
    if told.shown:
        text += f" {' '.join(told.shown[:MAX_SHOWN].split())}"
    return notice_row(f"Error: {text}", to, now)


def claim_change(plan: TurnPlan, now: datetime) -> Change:
    """The first transaction of a turn: claims, what is passed over, answers to commands."""
    return Change(
        claim=tuple(item.row.id for item in (*plan.items, *plan.commands)),
        complete=plan.settle,
        messages=tuple(notice_row(reply.text, reply.row, now) for reply in plan.replies),
        state=((CURRENT_BATCH, current_batch(plan.items)),) if plan.items else (),
    )


def answer_rows(
    plan: ReplyPlan, items: tuple[Incoming, ...], now: datetime, source: Source = FROM_ROWS
) -> tuple[NewOutbound, ...]:
    """The messages of an answer, tainted by everything that was in its turn.

    With an origin the ids follow from it, so that an answer which is said again after a kill
    writes nothing.
    """
    about = provenance_of([item.row for item in items], batch_taint(items) | source.taint)
    return tuple(
        chat_row(message, about, now, _block_id(source.origin, message.block))
        for message in plan.messages
    )


def batch_taint(items: Iterable[Incoming]) -> frozenset[str]:
    """The words of all these rows."""
    return frozenset[str]().union(*(item.taint for item in items))


def sent_blocks(plan: ReplyPlan, rows: tuple[NewOutbound, ...]) -> tuple[Sent, ...]:
    """What became of the blocks of an answer; ``rows`` as ``answer_rows`` made them."""
    return tuple(
        Sent(message.block, _shown(row.address), row.id)
        for message, row in zip(plan.messages, rows, strict=False)
    )


def settled(items: tuple[Incoming, ...]) -> Change:
    """What is written when these rows are done, whatever the answer was."""
    return Change(
        complete=tuple(item.row.id for item in items),
        state=tuple(pair for item in items for pair in item.on_settled),
    )


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
            "taint": joined_taint(batch_taint(items)),
        }
    )


def _shown(address: Address) -> str:
    return f"{address.channel_type or ''}:{address.platform_id or ''}"


def _block_id(origin: Origin | None, block: int) -> str | None:
    return None if origin is None else derived_id("msg", origin.at, f"{origin.seed}/{block}")
