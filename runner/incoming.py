"""An inbound row with its content parsed, once.

Built by the loop right after a poll; decide, prompt and answer look only at these. A content that
breaks a limit becomes a sentence about it, because the row must be settled like any other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contract.address import AGENT_CHANNEL
from contract.commands import Command, parse_command
from contract.content import ChatIn, InboundContent, TaskIn, parse_inbound
from contract.errors import BadContent
from contract.inbound.row import InboundRow, MessageKind

_CHAT_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK})
_UNREADABLE = "(This message was too large to be read.)"


@dataclass(frozen=True, slots=True)
class Incoming:
    """``row.content`` is not looked at again."""

    row: InboundRow
    content: InboundContent

    @property
    def is_chat(self) -> bool:
        return self.row.kind in _CHAT_KINDS

    @property
    def text(self) -> str:
        """The words themselves: what a command is looked for in, and a script answers to."""
        if isinstance(self.content, ChatIn):
            return self.content.text
        if isinstance(self.content, TaskIn):
            return self.content.prompt
        return ""

    @property
    def command(self) -> Command | None:
        """A slash command of a person; tasks and other agents never command (R-74)."""
        if not self.is_chat or self.row.address.channel_type == AGENT_CHANNEL:
            return None
        return parse_command(self.text)


def read_incoming(rows: Iterable[InboundRow]) -> tuple[Incoming, ...]:
    return tuple(Incoming(row, _content(row)) for row in rows)


def _content(row: InboundRow) -> InboundContent:
    try:
        return parse_inbound(row.kind, row.content)
    except BadContent:
        return ChatIn(text=_UNREADABLE)
