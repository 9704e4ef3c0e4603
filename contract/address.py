"""Where a message comes from or goes to.

An ``Address`` is the three columns that every message row carries. A ``Destination`` is a named,
permitted target of one agent group; that the row exists *is* the permission (H 0.1), and the
host checks it again, whatever the runner says.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_PART_BYTES = 1024
"""Of each part of an address. A longer one is taken neither from a platform nor from an agent."""
AGENT_CHANNEL = "agent"
"""Channel type of messages between agents; the platform id is then an agent group id."""


@dataclass(frozen=True, slots=True)
class Address:
    """Channel type, chat and thread; all None means "no address"."""

    channel_type: str | None = None
    platform_id: str | None = None
    thread_id: str | None = None

    @property
    def is_empty(self) -> bool:
        return self.channel_type is None and self.platform_id is None and self.thread_id is None


NOWHERE = Address()


class DestinationType(StrEnum):
    CHANNEL = "channel"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Destination:
    """One row of the ``destinations`` projection."""

    name: str
    display_name: str
    type: DestinationType
    channel_type: str | None = None
    platform_id: str | None = None
    agent_group_id: str | None = None

    @property
    def address(self) -> Address:
        """The columns of a row that goes there, without a thread (R-142)."""
        if self.type is DestinationType.AGENT:
            return Address(AGENT_CHANNEL, self.agent_group_id)
        return Address(self.channel_type, self.platform_id)
