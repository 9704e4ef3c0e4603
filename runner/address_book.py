"""Finds out where a message goes: the chat, its thread, and the message that it answers. Pure.

The one place for this (R-146): the tools that send and the blocks of a final answer ask here, so
that they can never disagree. Whoever calls has read the facts; the host checks the permission
again, whatever is decided here (R-156).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.address import AGENT_CHANNEL, NOWHERE, Address, Destination, DestinationType
from contract.inbound.row import InboundRow, InboundStatus

CURRENT = "the current conversation"


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """What addresses are decided by.

    ``origin`` and ``in_reply_to`` are those of the current batch, ``consumed`` its rows;
    ``newest`` is the last known row of some other chats, by address without thread; ``session``
    is the session's own chat.
    """

    destinations: tuple[Destination, ...] = ()
    origin: Address = NOWHERE
    in_reply_to: str | None = None
    consumed: tuple[InboundRow, ...] = ()
    newest: Mapping[Address, InboundRow] = field(default_factory=dict)
    session: Address = NOWHERE


@dataclass(frozen=True, slots=True)
class Placed:
    """A full address, and the inbound message that is answered there."""

    address: Address
    in_reply_to: str | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """``shown`` is what the agent reads: a destination's name, or "the current conversation"."""

    placed: Placed
    shown: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why there is no address, in words for the agent."""

    reason: str


def chat_of(address: Address) -> Address:
    """The address without its thread: what two rows of one chat have in common."""
    return Address(address.channel_type, address.platform_id)


def find_destination(name: str, destinations: Iterable[Destination]) -> Destination | None:
    """By exact name, else by the only one that differs in case or blanks (R-133)."""
    known = tuple(destinations)
    for destination in known:
        if destination.name == name:
            return destination
    folded = name.strip().casefold()
    similar = [d for d in known if d.name.strip().casefold() == folded]
    return similar[0] if len(similar) == 1 else None


def by_routing(address: Address, destinations: Iterable[Destination]) -> Destination | None:
    """The destination that a row with this address came from, the first by name (R-134)."""
    if address.channel_type is None or address.platform_id is None:
        return None
    wanted = (
        DestinationType.AGENT if address.channel_type == AGENT_CHANNEL else DestinationType.CHANNEL
    )
    chat = chat_of(address)
    found = [d for d in destinations if d.type is wanted and d.address == chat]
    return min(found, key=lambda d: d.name, default=None)


def place(address: Address, facts: AddressFacts) -> Placed:
    """Thread and answered message for a chat (R-143, R-144).

    From its newest row of this turn, else from its newest known row, else the session's own
    thread; a chat that was never heard of gets no thread and the batch's reply id.
    """
    chat = chat_of(address)
    same = [row for row in facts.consumed if chat_of(row.address) == chat]
    row = max(same, key=lambda row: row.seq, default=None) or facts.newest.get(chat)
    if row is not None:
        return Placed(_in_thread(chat, row.address.thread_id), row.id)
    if chat_of(facts.session) == chat:
        return Placed(_in_thread(chat, facts.session.thread_id), facts.in_reply_to)
    return Placed(chat, facts.in_reply_to)


def resolve(to: str | None, facts: AddressFacts) -> Resolved | Unresolved:
    """What a tool's ``to`` means (R-154, R-155); empty is the same as missing."""
    if to is not None and to.strip():
        destination = find_destination(to, facts.destinations)
        if destination is None:
            return Unresolved(f"unknown destination {to!r}; known are: {_names(facts)}")
        return Resolved(place(destination.address, facts), destination.name)
    if _is_answerable(facts.origin, facts):
        return Resolved(place(facts.origin, facts), CURRENT)
    if _is_chat(facts.session):
        return Resolved(place(facts.session, facts), CURRENT)
    if not facts.destinations:
        return Unresolved("no destinations configured, so there is nobody to send this to")
    if len(facts.destinations) > 1:
        return Unresolved(f"'to' must be given; known destinations are: {_names(facts)}")
    (only,) = facts.destinations
    return Resolved(place(only.address, facts), only.name)


def wanted_chats(to: str | None, facts: AddressFacts) -> tuple[Address, ...]:
    """The chats whose newest rows ``resolve`` may ask for, to be read beforehand."""
    found = resolve(to, facts)
    return (chat_of(found.placed.address),) if isinstance(found, Resolved) else ()


def newest_known(rows: Iterable[InboundRow], acked: Iterable[str]) -> InboundRow | None:
    """Of the rows of one chat: the newest that the agent was given, else the newest (R-144)."""
    ordered = sorted(rows, key=lambda row: row.seq, reverse=True)
    given = frozenset(acked)
    for row in ordered:
        if row.status is not InboundStatus.PENDING or row.id in given:
            return row
    return ordered[0] if ordered else None


def _in_thread(chat: Address, thread_id: str | None) -> Address:
    return Address(chat.channel_type, chat.platform_id, thread_id)


def _is_chat(address: Address) -> bool:
    return address.channel_type is not None and address.platform_id is not None


def _is_answerable(origin: Address, facts: AddressFacts) -> bool:
    """A batch from a known destination, or from the session's own chat."""
    if not _is_chat(origin):
        return False
    if chat_of(origin) == chat_of(facts.session):
        return True
    return by_routing(origin, facts.destinations) is not None


def _names(facts: AddressFacts) -> str:
    return ", ".join(sorted(d.name for d in facts.destinations)) or "(none)"
