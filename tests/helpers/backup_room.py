"""A home with a session, backed up and restored by the program itself."""

import os
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from helpers.central import make_home

from contract.clock import utc_now
from nanoclaw.backup.create import Created, create
from nanoclaw.backup.sources import Wanted
from nanoclaw.config import HostConfig
from nanoclaw.db import deliveries
from nanoclaw.model import DeliverySource, DeliveryState, NewDelivery
from nanoclaw.sessions.folder import SessionFolder

ROOT = Path(__file__).parent.parent.parent
OPEN = (DeliveryState.QUEUED, DeliveryState.SENDING)


class Room:
    """One home; closed by the fixture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.conn = make_home(folder)
        self.paths = self.config.paths
        self.group_id = str(self.conn.execute("SELECT id FROM agent_groups").fetchone()[0])
        self.conn.execute(
            "INSERT INTO sessions (id, agent_group_id, created_at) VALUES ('sess-1', ?, ?)",
            (self.group_id, "2026-01-01T00:00:00.000Z"),
        )
        self.session = SessionFolder.of(self.paths, self.group_id, "sess-1")
        self.session.create()
        self.group = self.paths.groups / "main"
        self.group.mkdir(exist_ok=True)
        (self.group / "memory.md").write_text("remember")

    def back_up(self, wanted: Wanted | None = None) -> Created:
        return create(self.config, wanted or Wanted(), utc_now(), lambda name, done: None)

    def say(self, delivery_id: str) -> None:
        now = utc_now()
        deliveries.queue(self.conn, a_delivery(delivery_id, now))

    def close(self) -> None:
        self.conn.close()


def a_delivery(delivery_id: str, now: datetime) -> NewDelivery:
    return NewDelivery(
        delivery_id=delivery_id, message_out_id=delivery_id, session_id=None, seq=1,
        source=DeliverySource.HOST, instance="cli", platform_id="local", thread_id=None,
        kind="chat", content='{"text":"hello"}', completes=False, state=DeliveryState.QUEUED,
        next_attempt_at=now, created_at=now, expires_at=now + timedelta(days=1),
    )  # fmt: skip


def states(conn: sqlite3.Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in conn.execute("SELECT delivery_id, state FROM deliveries")}


def run_backup(
    config: HostConfig, *words: str, kill: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """``nanoclaw backup`` as its own program."""
    environment = dict(os.environ)
    if kill is not None:
        environment["NANOCLAW_KILL_DIR"] = str(kill)
    return subprocess.run(
        [sys.executable, "-m", "nanoclaw", "backup", *words, "--home", str(config.home)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
