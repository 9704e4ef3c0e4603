"""Finds out what of the model's text is said to whom. Pure.

``<message to="name">`` blocks go to the named destination, ``<internal>`` is never shown (also
when its end is missing, R-128), and blocks inside it are not sent (R-136). Text that addresses
nobody goes back to where the batch came from.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.address import Address, Destination
from contract.inbound.row import InboundRow

MAX_BODY = 256 * 1024
"""Characters of one message (R-147); platforms' own limits are the adapters' business."""
CUT_NOTE = "\n[cut]"

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
    """``consumed`` are the rows of the turn; ``newest`` the last row from some other chats."""

    destinations: tuple[Destination, ...]
    routing: InboundRow | None
    consumed: tuple[InboundRow, ...] = ()
    newest: Mapping[Address, InboundRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to write, with its full address."""

    address: Address
    text: str
    in_reply_to: str | None


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """``unknown`` are names that no destination has; ``unsaid`` is text that went nowhere."""

    messages: tuple[Outgoing, ...]
    unknown: tuple[str, ...] = ()
    unsaid: str = ""


def strip_internal(text: str) -> str:
    return _INTERNAL.sub("", text).strip()


def parse_reply(text: str) -> Reply:
    """All blocks from left to right; one without its closing tag ends where the next begins."""
    visible = strip_internal(text)
    blocks: list[Block] = []
    outside: list[str] = []
    position = 0
    while opening := _find_opening(visible, position):
        outside.append(visible[position : opening.start])
        end, position = _end_of_block(visible, opening.end)
        blocks.append(Block(opening.to, visible[opening.end : end].strip()))
    outside.append(visible[position:])
    rest = "\n".join(part.strip() for part in outside if part.strip())
    return Reply(tuple(blocks), rest)


def find_destination(name: str, destinations: Iterable[Destination]) -> Destination | None:
    """By exact name, else by the only one that differs in case or blanks (R-133)."""
    known = tuple(destinations)
    for destination in known:
        if destination.name == name:
            return destination
    folded = name.strip().casefold()
    similar = [d for d in known if d.name.strip().casefold() == folded]
    return similar[0] if len(similar) == 1 else None


def addressed(reply: Reply, destinations: Iterable[Destination]) -> tuple[Address, ...]:
    """Where the blocks go, so that the newest rows from there can be read beforehand."""
    known = tuple(destinations)
    found = (find_destination(block.to, known) for block in reply.blocks)
    return tuple(dict.fromkeys(d.address for d in found if d is not None))


def decide_reply(reply: Reply, facts: ReplyFacts) -> ReplyPlan:
    """The messages to write. An empty block says nothing and counts as handled (R-139)."""
    messages: list[Outgoing] = []
    unknown: list[Block] = []
    for block in reply.blocks:
        destination = find_destination(block.to, facts.destinations)
        if destination is None:
            unknown.append(block)
        elif block.body:
            messages.append(_to_destination(destination.address, block.body, facts))
    names = tuple(block.to for block in unknown)
    handled = len(reply.blocks) > len(unknown)
    unsaid = "\n\n".join(part for part in (reply.rest, *(b.body for b in unknown)) if part)
    if handled or not unsaid:
        return ReplyPlan(tuple(messages), names, unsaid)
    if facts.routing is None or facts.routing.address.is_empty:
        return ReplyPlan((), names, unsaid)
    origin = Outgoing(facts.routing.address, _cut(unsaid), facts.routing.id)
    return ReplyPlan((origin,), names)


def _to_destination(address: Address, body: str, facts: ReplyFacts) -> Outgoing:
    """Thread and reply id come from the newest row of that chat, first of this turn (R-144)."""
    batch_id = facts.routing.id if facts.routing is not None else None
    row = _newest_consumed(address, facts.consumed) or facts.newest.get(address)
    if row is None:
        return Outgoing(address, _cut(body), batch_id)
    return Outgoing(
        Address(address.channel_type, address.platform_id, row.address.thread_id),
        _cut(body),
        row.id,
    )


def _newest_consumed(address: Address, rows: tuple[InboundRow, ...]) -> InboundRow | None:
    same = [
        row
        for row in rows
        if (row.address.channel_type, row.address.platform_id)
        == (address.channel_type, address.platform_id)
    ]
    return max(same, key=lambda row: row.seq, default=None)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Where an opening tag begins and ends, and whom it names."""

    start: int
    end: int
    to: str


def _find_opening(text: str, start: int, *, line_start: bool = False) -> _Opening | None:
    """The next tag with a ``to``; an inbound element, with ``from`` and ``sender``, is none."""
    for tag in _TAG.finditer(text, start):
        name = _TO.search(tag[1])
        if name is None or (line_start and text[tag.start() - 1] != "\n"):
            continue
        return _Opening(tag.start(), tag.end(), name[1] or name[2])
    return None


def _end_of_block(text: str, start: int) -> tuple[int, int]:
    """Where the body ends and where to go on looking."""
    closing = text.find(_CLOSING, start)
    following = _find_opening(text, start, line_start=True)
    if following is not None and (closing < 0 or following.start < closing):
        return following.start, following.start
    if closing < 0:
        return len(text), len(text)
    return closing, closing + len(_CLOSING)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_BODY else text[:MAX_BODY] + CUT_NOTE
