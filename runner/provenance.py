"""What a message carries on from the messages that led to it. Pure.

Used for final answers and for what tools send: the host sees from it what foreign content was in
the turn (``taint``), and how long a chain of messages between agents has become.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from contract.address import AGENT_CHANNEL, Address
from contract.inbound.row import InboundRow, MessageKind

TURN_TAINT = "turn_taint"
"""Key of ``session_state``: what the turn had seen when its last tool began, for programs that
write rows themselves."""
MAX_TAINT = 1000
MAX_WORD = 100
FILE = "file"
"""A message of the turn brought a file with it."""

_CHAT_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK})


@dataclass(frozen=True, slots=True)
class Provenance:
    """Columns of an outbound row. The host counts ``hop`` up when it delivers to an agent."""

    taint: str | None = None
    chain_id: str | None = None
    hop: int = 0

    def to(self, address: Address) -> "Provenance":
        """The chain goes on only where another agent reads."""
        return self if address.channel_type == AGENT_CHANNEL else Provenance(self.taint)


def provenance_of(rows: Sequence[InboundRow], words: Iterable[str] = ()) -> Provenance:
    """``rows`` are what the turn is about; ``words`` is the taint that came from elsewhere."""
    found = set(words).union(*(taint_words(row.taint) for row in rows))
    link = _newest_link(rows)
    if link is None:
        return Provenance(joined_taint(found))
    return Provenance(joined_taint(found), link.chain_id, link.hop)


def taint_words(text: str | None) -> frozenset[str]:
    """The words of a ``taint`` column."""
    words = (word.strip() for word in (text or "").split(","))
    return frozenset(word[:MAX_WORD] for word in words if word)


def joined_taint(words: Collection[str]) -> str | None:
    """The column's text: sorted, and bounded without cutting a word; None: nothing foreign."""
    text = ""
    for word in sorted(words):
        longer = f"{text},{word}" if text else word
        if len(longer) > MAX_TAINT:
            break
        text = longer
    return text or None


def _newest_link(rows: Iterable[InboundRow]) -> InboundRow | None:
    """What another agent said last; notes of the host come the same way, without a chain."""
    links = [
        row
        for row in rows
        if row.address.channel_type == AGENT_CHANNEL
        and row.kind in _CHAT_KINDS
        and (row.chain_id is not None or row.hop > 0)
    ]
    return max(links, key=lambda row: row.seq, default=None)
