"""What one tool call leaves in ``outbound.db``, as a value. Pure.

The desk carries it out in one transaction: all of it is on disk or nothing is, and with it the
text that the call answered, so that a kill right afterwards loses neither.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contract.address import NOWHERE, Address
from contract.content import dump, parse_outbound
from contract.inbound.row import MessageKind
from contract.outbound.row import NewOutbound
from contract.shape import Shape
from runner.desk.batch import Batch
from runner.desk.questions import OpenQuestion

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A row to be: what, to whom, and as the answer to what."""

    id: str
    content: Shape
    kind: MessageKind = MessageKind.CHAT
    address: Address = NOWHERE
    in_reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """``answer`` makes the call's text from the new messages' numbers.

    ``delivers``: it says something to somebody (R-88). ``settles`` are inbound ids; ``closes`` is
    the id of a question that is answered.
    """

    letters: tuple[Letter, ...]
    answer: Callable[[Numbers], str]
    delivers: bool = False
    settles: tuple[str, ...] = ()
    opens: OpenQuestion | None = None
    closes: str | None = None


def new_row(letter: Letter, batch: Batch, now: datetime) -> NewOutbound:
    """The row, which carries on what the turn was about; raises BadContent.

    Read once as the host will read it: what it would refuse is told to the agent instead.
    """
    content = dump(letter.content)
    parse_outbound(letter.kind, content)
    provenance = batch.provenance.to(letter.address)
    return NewOutbound(
        id=letter.id,
        kind=letter.kind,
        timestamp=now,
        content=content,
        address=letter.address,
        in_reply_to=letter.in_reply_to,
        taint=provenance.taint,
        chain_id=provenance.chain_id,
        hop=provenance.hop,
    )
