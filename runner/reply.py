"""Finds out what of the model's text is said to whom. Pure.

``<message to="name">`` blocks go to the named destination, ``<internal>`` is never shown (also
when its end is missing, R-128), and blocks inside it are not sent (R-136). Everything else is
the model's own scratchpad and goes nowhere (R-141): when nothing else was said, the agent is told
once (the nudge, R-86), and only a second bare answer is delivered if its receiver is beyond doubt.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from contract.address import Address, Destination
from contract.inbound.row import InboundRow
from runner.address_book import AddressFacts, by_routing, find_destination, place

MAX_BODY_BYTES = 256 * 1024
"""Of one message (R-147); platforms' own limits are the adapters' business."""
MAX_BLOCKS = 100
"""Of one answer; more would flood every chat at once."""
MAX_PARSED = 1000
CUT_NOTE = "\n[cut]"
BARE = -1
"""Stands for a block's number when the text was in none."""

_INTERNAL = re.compile(r"<internal>.*?(?:</internal>|\Z)", re.DOTALL)
_TAG = re.compile(r"<message(\s[^<>]*)>")
_TO = re.compile(r"""\sto=(?:"([^"]+)"|'([^']+)')""")
_CLOSING = "</message>"


@dataclass(frozen=True, slots=True)
class Block:
    """``to`` is a destination's name as the model wrote it."""

    to: str
    body: str


@dataclass(frozen=True, slots=True)
class Reply:
    """``rest`` is the text outside of blocks, without internal parts."""

    blocks: tuple[Block, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """``routing`` is the row that answers refer to. The other fields are about the turn:

    ``delivered``: something was sent in it before, by a tool or an earlier block (R-88);
    ``from_people``: a chat message led to it (R-89); ``nudged``: the agent was told already, or
    cannot be told any more; ``bare_ok``: see ``Result``; ``commentary``: it goes on after this.
    """

    addresses: AddressFacts = field(default_factory=AddressFacts)
    routing: InboundRow | None = None
    delivered: bool = False
    from_people: bool = True
    nudged: bool = False
    bare_ok: bool = False
    commentary: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to write, with its full address. ``block`` is its number in the answer."""

    address: Address
    text: str
    in_reply_to: str | None
    block: int = BARE


class Next(StrEnum):
    """What is left to do: nothing, telling the agent, or telling the chat that nothing came."""

    DONE = "done"
    NUDGE = "nudge"
    UNDELIVERABLE = "undeliverable"


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """``dropped`` are whom and why, in words for the agent; ``unsaid`` is text that went nowhere.

    ``handled``: at least one block was addressed properly.
    """

    messages: tuple[Outgoing, ...] = ()
    dropped: tuple[str, ...] = ()
    unsaid: str = ""
    handled: bool = False
    next: Next = Next.DONE


def strip_internal(text: str) -> str:
    return _INTERNAL.sub("", text).strip()


def parse_reply(text: str, *, finished: bool = True) -> Reply:
    """All blocks from left to right.

    One without its closing tag ends where the next begins; the last one only counts when the
    model was ``finished``, because a cut-off message must not be sent (R-136).
    """
    visible = strip_internal(text)
    blocks: list[Block] = []
    outside: list[str] = []
    position = 0
    while len(blocks) < MAX_PARSED and (opening := _find_opening(visible, position)):
        outside.append(visible[position : opening.start])
        end, following = _end_of_block(visible, opening.end)
        if end is None and not finished:
            position = opening.start
            break
        end = len(visible) if end is None else end
        blocks.append(Block(opening.to, visible[opening.end : end].strip()))
        position = following
    outside.append(visible[position:])
    rest = "\n".join(part.strip() for part in outside if part.strip())
    return Reply(tuple(blocks), rest)


def addressed(reply: Reply, destinations: Iterable[Destination]) -> tuple[Address, ...]:
    """Where the blocks go, so that the newest rows from there can be read beforehand."""
    known = tuple(destinations)
    found = (find_destination(block.to, known) for block in reply.blocks)
    return tuple(dict.fromkeys(d.address for d in found if d is not None))


def decide_reply(reply: Reply, facts: ReplyFacts) -> ReplyPlan:
    """The messages to write, and what comes of the rest."""
    messages: list[Outgoing] = []
    dropped: list[str] = []
    lost: list[str] = []
    handled = False
    for number, block in enumerate(reply.blocks):
        destination = find_destination(block.to, facts.addresses.destinations)
        problem = _problem(number, block, destination)
        if problem is not None:
            dropped.append(problem)
            lost.append(block.body[:MAX_BODY_BYTES])
            continue
        handled = True  # an empty block says nothing on purpose
        if destination is not None and block.body:
            placed = place(destination.address, facts.addresses)
            messages.append(Outgoing(placed.address, block.body, placed.in_reply_to, number))
    unsaid = "\n\n".join(part for part in (reply.rest, *lost) if part)
    plan = ReplyPlan(tuple(messages), tuple(dropped), unsaid, handled)
    if handled or not unsaid or facts.commentary:
        return plan
    return _decide_unsaid(reply, plan, facts)


def nudge_text(dropped: Iterable[str], destinations: Iterable[Destination]) -> str:
    """R-86: told to the agent, never to people."""
    problems = "".join(f" {problem}" for problem in dropped)
    return (
        f"Nothing of your last answer was delivered, because no text of it stood in a message "
        f"block with a known destination.{problems} Wrap what is meant for people in <message "
        f'to="name">...</message> and the rest in <internal>...</internal>. '
        f"Destinations: {shown_names(destinations)}. Please send it again. If nothing was meant "
        f"to be sent, answer with <internal>nothing to send</internal>."
    )


def dropped_text(dropped: Iterable[str], destinations: Iterable[Destination]) -> str:
    """R-140: beside other blocks that were delivered."""
    return (
        f"Part of an earlier answer of yours was not delivered. {' '.join(dropped)} "
        f"Destinations: {shown_names(destinations)}."
    )


def shown_names(destinations: Iterable[Destination]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(d.name for d in destinations)) or "(none)"


def _problem(number: int, block: Block, destination: Destination | None) -> str | None:
    name = block.to[:100]
    if number >= MAX_BLOCKS:
        return f'The block to "{name}" was number {number + 1}; {MAX_BLOCKS} are allowed.'
    if not block.body:
        return None
    if destination is None:
        return f'There is no destination "{name}".'
    if len(block.body) * 4 > MAX_BODY_BYTES and len(block.body.encode()) > MAX_BODY_BYTES:
        return (
            f'The message to "{name}" is over {MAX_BODY_BYTES // 1024} KiB; '
            f"send it in parts or as a file."
        )
    return None


def _decide_unsaid(reply: Reply, plan: ReplyPlan, facts: ReplyFacts) -> ReplyPlan:
    """Nothing was sent, and there are words."""
    if facts.bare_ok:
        return _to_origin(plan, facts)
    if facts.delivered or not facts.from_people:
        return plan
    if not facts.nudged and facts.addresses.destinations:
        return _with_next(plan, Next.NUDGE)
    only = _only_receiver(facts)
    if only is None or not reply.rest:
        return _with_next(plan, Next.UNDELIVERABLE)
    placed = place(only.address, facts.addresses)
    return ReplyPlan((Outgoing(placed.address, _cut(reply.rest), placed.in_reply_to),))


def _to_origin(plan: ReplyPlan, facts: ReplyFacts) -> ReplyPlan:
    row = facts.routing
    if row is None or row.address.is_empty:
        return plan
    return ReplyPlan((Outgoing(row.address, _cut(plan.unsaid), row.id),), plan.dropped)


def _only_receiver(facts: ReplyFacts) -> Destination | None:
    """Whom a bare answer can only have been meant for (R-87)."""
    rows = [row for row in facts.addresses.consumed if row.trigger]
    origins = [by_routing(row.address, facts.addresses.destinations) for row in rows]
    if origins and origins[0] is not None and all(found == origins[0] for found in origins):
        return origins[0]
    known = facts.addresses.destinations
    return known[0] if len(known) == 1 else None


def _with_next(plan: ReplyPlan, following: Next) -> ReplyPlan:
    return ReplyPlan(plan.messages, plan.dropped, plan.unsaid, plan.handled, following)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Where an opening tag begins and ends, and whom it names."""

    start: int
    end: int
    to: str


def _find_opening(text: str, start: int) -> _Opening | None:
    """The next tag with a ``to``; an inbound element, with ``from`` and ``sender``, is none."""
    return next(_openings(text, start, len(text)), None)


def _openings(text: str, start: int, end: int) -> Iterator[_Opening]:
    for tag in _TAG.finditer(text, start, end):
        name = _TO.search(tag[1])
        if name is not None:
            yield _Opening(tag.start(), tag.end(), name[1] or name[2])


def _end_of_block(text: str, start: int) -> tuple[int | None, int]:
    """Where the body ends (None: it has no end) and where to go on looking."""
    closing = text.find(_CLOSING, start)
    for following in _openings(text, start, closing if closing >= 0 else len(text)):
        if text[following.start - 1] == "\n":
            return following.start, following.start
    if closing < 0:
        return None, len(text)
    return closing, closing + len(_CLOSING)


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MAX_BODY_BYTES:
        return text
    return encoded[:MAX_BODY_BYTES].decode(errors="ignore") + CUT_NOTE
