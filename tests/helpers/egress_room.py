"""The stored policy over a real database, with one agent, its owner, and doors without sockets.

Nothing listens here: a test asks the policy as the proxy would, and clicks as an owner would.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from helpers.central_rows import add_session
from helpers.people import OWNER, build_town, click

from contract.clock import utc_now
from nanoclaw.approvals import answers
from nanoclaw.db import audit, doors, egress_asks, sessions
from nanoclaw.db.audit import AuditRow
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.doors import Door
from nanoclaw.db.egress_asks import EgressAsk
from nanoclaw.db.migrations import migrate
from nanoclaw.events import ActionResult
from nanoclaw.paths import HostPaths
from nanoclaw.vault.books import Books
from nanoclaw.vault.egress_policy import StoredPolicy
from nanoclaw.vault.egress_types import Destination, EgressRequest, Judgement

AGENT = "ag-1"
LEASE = timedelta(minutes=15)


@dataclass
class EgressRoom:
    """``ask`` is one request of an agent; ``press`` is an owner's answer to the only open card."""

    home: Path
    conn: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.paths = HostPaths(self.home)
        self.paths.ensure()
        self.conn = open_central(self.paths.central_db)
        migrate(self.conn)
        build_town(self.conn)

    def close(self) -> None:
        self.conn.close()

    # --- the agent's side -------------------------------------------------------------------------

    def door(self, session_id: str = "sess-1") -> Door:
        """With a running container; called again it is the next container."""
        if sessions.get(self.conn, session_id) is None:
            add_session(self.conn, session_id)
        now = utc_now()
        lease = sessions.acquire_lease(self.conn, session_id, "sweep", now, LEASE)
        assert lease is not None
        door = Door(
            session_id, AGENT, f"{abs(hash(session_id)) % 2**32:08x}", session_id, lease, now
        )
        doors.open_door(self.conn, door)
        return door

    def ask(
        self,
        door: Door,
        host: str = "api.example.com",
        port: int = 443,
        method: str | None = None,
        path: str | None = None,
    ) -> Judgement:
        return self.ask_all([request(door, host, port, method, path)])[0]

    def ask_all(self, requests: Sequence[EgressRequest]) -> list[Judgement]:
        async def run() -> list[Judgement]:
            books = Books(self.paths.central_db)
            try:
                policy = StoredPolicy(books, self.paths)
                return [await policy.judge(item) for item in requests]
            finally:
                books.close()

        return asyncio.run(run())

    # --- the owner's side -------------------------------------------------------------------------

    @property
    def open_asks(self) -> list[EgressAsk]:
        return egress_asks.list_open(self.conn, None, 100)

    def press(
        self, value: str, by: str = OWNER, *, card_id: str | None = None,
        at: datetime | None = None,
    ) -> ActionResult:  # fmt: skip
        with transaction(self.conn):
            chosen = card_id or self.open_asks[0].ask_id
            return answers.answer(self.conn, click(chosen, value, by), at or utc_now())

    # --- the record -------------------------------------------------------------------------------

    def audited(self, kind: str) -> list[AuditRow]:
        """Newest first."""
        return audit.recent(self.conn, kind, 10_000)


def request(
    door: Door,
    host: str = "api.example.com",
    port: int = 443,
    method: str | None = None,
    path: str | None = None,
) -> EgressRequest:
    return EgressRequest(door, Destination(host, port, tls=port != 80), method, path)
