"""Opens and closes the agents' doors: a row, a token, a folder, and a word to the vault.

Used by ``starter`` and ``exits``. The row is what counts; the vault compares itself with the table
when it starts, when it is nudged, and by itself. The token is made here, goes into ``session.json``
and is kept nowhere: the table has its hash. With the first door the supervisor starts the vault.
"""

import hashlib
import os
import secrets
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from contract.killpoint import reached
from nanoclaw.bell import VAULT, ring
from nanoclaw.db import doors
from nanoclaw.db.doors import Door
from nanoclaw.events import DoorsChanged, Hello
from nanoclaw.link import FrameClient, Peer, QuietHandler
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths, make_private_folder
from nanoclaw.reactor import Reactor

FOLDER_MODE = 0o711
FOLDER_BYTES = 4
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewDoor:
    """``folder`` is the host's side of the mount."""

    token: str = field(repr=False)
    folder: Path


class DoorKeeper(QuietHandler):
    """Every method runs on the reactor's thread."""

    def __init__(self, reactor: Reactor, conn: sqlite3.Connection, paths: HostPaths) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._vault: FrameClient | None = None

    def recover(self, now: datetime) -> None:
        """At the start of the sweep: doors of agents that are still there need their vault."""
        doors.close_invalid(self._conn, now)
        if doors.list_open(self._conn):
            self._nudge()

    def open(self, session: Session, lease: int, now: datetime) -> NewDoor:
        """Replaces the session's earlier door. Raises OSError and ConfigError."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        name = secrets.token_hex(FOLDER_BYTES)
        digest = hashlib.sha256(token.encode()).hexdigest()
        door = Door(session.id, session.agent_group_id, name, digest, lease, now)
        doors.open_door(self._conn, door)
        reached("sweep.door_opened")
        make_private_folder(self._paths.doors)
        folder = self._paths.doors / name
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
        self._nudge()
        return NewDoor(token, folder)

    def close_of(self, session_id: str, now: datetime) -> None:
        """After a start that came to nothing; harmless when there was no door."""
        if doors.close_door(self._conn, session_id, now):
            self._nudge()

    def closed(self) -> None:
        """A row was closed elsewhere, in a transaction with other things."""
        self._nudge()

    def remind(self) -> None:
        """With a start the way to the vault may have become known, and with it what listens."""
        if self._vault is not None:
            self._nudge()

    def close(self) -> None:
        if self._vault is not None:
            self._vault.close()

    def on_open(self, peer: Peer, hello: Hello) -> None:
        peer.notify(DoorsChanged())  # whatever was said while nobody listened

    def _nudge(self) -> None:
        if self._vault is None:
            ring(self._paths, VAULT)
            path, hello = self._paths.socket("vault"), Hello("sweep", "sweep", os.getpid())
            self._vault = FrameClient(self._reactor, path, hello, self)
            self._vault.connect()
        self._vault.notify(DoorsChanged())
