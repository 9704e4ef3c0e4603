"""Carries effects out: due ones, one after the other, with growing delay for those that must wait.

A ``delivery.companion.Companion``. The table of handlers stands in ``process.handlers``.
"""

import sqlite3
from collections.abc import Mapping

from nanoclaw.config import HostConfig
from nanoclaw.effects.base import Handler, Requests
from nanoclaw.reactor import Reactor


class EffectRunner:
    """Owned by the ``delivery`` process."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        config: HostConfig,
        requests: Requests,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._config = config
        self._requests = requests
        self._handlers = handlers

    def start(self) -> None:
        pass

    def look(self) -> None:
        pass

    def close(self) -> None:
        pass
