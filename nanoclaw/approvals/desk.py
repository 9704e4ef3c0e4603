"""The desk of the delivery process: brings cards to people, and takes them back.

Finds requests whose card is only written down, looks for somebody entitled who can be reached
(cold direct messages included), queues the card, expires what nobody answered, and shows every
copy of a decided card as decided. A ``delivery.companion.Companion``.
"""

import sqlite3

from nanoclaw.config import HostConfig
from nanoclaw.effects.base import Requests
from nanoclaw.reactor import Reactor


class CardDesk:
    """Owned by the ``delivery`` process."""

    def __init__(
        self, reactor: Reactor, conn: sqlite3.Connection, config: HostConfig, requests: Requests
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._config = config
        self._requests = requests

    def start(self) -> None:
        pass

    def look(self) -> None:
        pass

    def close(self) -> None:
        pass
