"""An inbound row with its content parsed, once.

Built by the loop right after a poll; decide, prompt and answer look only at these. A content that
breaks a limit becomes a sentence about it, because the row must be settled like any other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from contract.address import AGENT_CHANNEL, NOWHERE, Address
from contract.commands import Command, parse_command
from contract.content import ChatIn, InboundContent, TaskIn, parse_inbound
from contract.errors import BadContent
from contract.inbound.row import InboundRow, MessageKind
from runner.provenance import FILE, taint_words

_CHAT_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK})
SYSTEM_SENDER = "system"
_UNREADABLE = "(This message was too large to be read.)"


@dataclass(frozen=True, slots=True)
class Incoming:
    """``row.content`` is not looked at again.

    ``notes`` go to the agent with it; ``silent``: they are all that the agent is told of it.
    ``on_settled`` is written into ``session_state`` when the row is settled. ``from_system``: a
    note of the host, not a person's words (R-96); what is said about it goes ``home``, to the
    session's own chat, and never to the agent itself, whose address the note carries.
    """

    row: InboundRow
    content: InboundContent
    from_system: bool = False
    home: Address = NOWHERE
    notes: tuple[str, ...] = ()
    silent: bool = False
    on_settled: tuple[tuple[str, str | None], ...] = ()

    @property
    def is_chat(self) -> bool:
        return self.row.kind in _CHAT_KINDS

    @property
    def answered(self) -> InboundRow:
        """The row as answers and errors refer to it."""
        return replace(self.row, address=self.home) if self.from_system else self.row

    @property
    def is_from_people(self) -> bool:
        """A chat message that asks for an answer; another agent counts (R-89)."""
        return self.is_chat and self.row.trigger and not self.from_system

    @property
    def text(self) -> str:
        """The words themselves: what a command is looked for in, and a script answers to."""
        if isinstance(self.content, ChatIn):
            return self.content.text
        if isinstance(self.content, TaskIn):
            return self.content.prompt
        return ""

    @property
    def taint(self) -> frozenset[str]:
        """Where the foreign content in it came from, as the host said; a file is foreign too."""
        has_files = isinstance(self.content, ChatIn) and bool(self.content.attachments)
        return taint_words(self.row.taint) | ({FILE} if has_files else frozenset())

    @property
    def script(self) -> str | None:
        """What decides whether a task runs; other rows pass unchanged (R-100)."""
        return self.content.script or None if isinstance(self.content, TaskIn) else None

    @property
    def command(self) -> Command | None:
        """A slash command of a person; tasks and other agents never command (R-74)."""
        if not self.is_chat or self.row.address.channel_type == AGENT_CHANNEL:
            return None
        if not isinstance(self.content, ChatIn):
            return None
        return parse_command(self.text)


def read_incoming(
    rows: Iterable[InboundRow], own_group: str = "", home: Address = NOWHERE
) -> tuple[Incoming, ...]:
    """``own_group`` is this agent's group id, by which notes of the host are known."""
    own = Address(AGENT_CHANNEL, own_group)
    return tuple(_incoming(row, own, home) for row in rows)


def _incoming(row: InboundRow, own: Address, home: Address) -> Incoming:
    content = _content(row)
    origin = Address(row.address.channel_type, row.address.platform_id)
    from_system = (
        origin == own and isinstance(content, ChatIn) and content.sender_id == SYSTEM_SENDER
    )
    return Incoming(row, content, from_system, home)


def _content(row: InboundRow) -> InboundContent:
    try:
        return parse_inbound(row.kind, row.content)
    except BadContent:
        return ChatIn(text=_UNREADABLE)
