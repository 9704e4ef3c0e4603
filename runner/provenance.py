"""What a message carries on from the messages that led to it. Pure.

Used for final answers and for what tools send: the host sees from it where something came from
and how long a chain between agents has become.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.inbound.row import InboundRow

MAX_TAINT = 1000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Columns of an outbound row."""

    taint: str | None = None
    chain_id: str | None = None
    hop: int = 0


def provenance_of(rows: Sequence[InboundRow]) -> Provenance:
    """``rows`` are what the turn was about: all give their taint, the first gives the chain."""
    if not rows:
        return Provenance()
    taints = dict.fromkeys(row.taint for row in rows if row.taint)
    return Provenance(",".join(taints)[:MAX_TAINT] or None, rows[0].chain_id, rows[0].hop)
