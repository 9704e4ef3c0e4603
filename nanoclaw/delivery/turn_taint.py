"""What the host itself knows of the turn that an agent's output belongs to.

Called by ``intake`` once for each look at a session. The agent's own word on its taint is not
trusted alone: the taints of all inbound rows that are claimed or pending are united with it. Rows
are settled in ``inbound.db`` by the projection, after their output was taken in, so a turn's
rows are still open when its last words are judged.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.inbound.row import AckStatus, InboundRow
from contract.inbound.turn import read_turn
from contract.outbound.row import OutboundRow
from nanoclaw.policy.taint import UNREADABLE, unite
from nanoclaw.sessions.folder import SessionFolder

Chat = tuple[str | None, str | None]
"""Channel type and platform id."""


@dataclass(frozen=True, slots=True)
class TurnView:
    """``origins``: the chats that the claimed messages came from; ``rows``: what was asked for."""

    taint: str | None = None
    origins: frozenset[Chat] = frozenset()
    rows: Mapping[str, InboundRow] = field(default_factory=dict)

    def taint_of(self, row: OutboundRow) -> str | None:
        """Everything that is known against one output row."""
        parent = self.rows.get(row.in_reply_to or "")
        return unite(self.taint, row.taint, parent.taint if parent else None)

    def is_origin(self, row: OutboundRow) -> bool:
        return (row.address.channel_type, row.address.platform_id) in self.origins


def view_turn(
    folder: SessionFolder, acks: Mapping[str, AckStatus], ids: Collection[str], now: datetime
) -> TurnView:
    """``ids``: rows that the output refers to. Raises SessionFileBusy."""
    try:
        rows = read_turn(folder.inbound_db, ids, now)
    except SessionFileBusy:
        raise
    except (SessionFileError, SchemaMismatch):
        return TurnView(taint=UNREADABLE)
    return TurnView(
        taint=unite(*(row.taint for row in rows.open)),
        origins=frozenset(
            (row.address.channel_type, row.address.platform_id)
            for row in rows.open
            if row.id in acks
        ),
        rows={row.id: row for row in rows.named},
    )
