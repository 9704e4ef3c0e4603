"""One session's folder on disk: what the host writes (``in``) and what the agent writes (``out``).

Created by the router with the first message, mounted by the sweep, read by delivery. The host
owns ``in`` and every name above it; everything below ``out`` is hostile, so it is only ever
reached through a directory handle, never by a path that the agent could bend with a link.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.inbound.writer import create_inbound
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.archive import restore

READABLE_FOLDER = 0o755
"""The agent's user is not ours; it reaches ``in`` through its mount only, the host's folders
above it stay 0700."""


@dataclass(frozen=True, slots=True)
class SessionFolder:
    """Names inside ``data/v2-sessions/<agent group>/<session>``."""

    root: Path

    @classmethod
    def of(cls, paths: HostPaths, agent_group_id: str, session_id: str) -> "SessionFolder":
        return cls(paths.session(agent_group_id, session_id))

    @property
    def in_dir(self) -> Path:
        return self.root / layout.IN_DIR

    @property
    def out_dir(self) -> Path:
        return self.root / layout.OUT_DIR

    @property
    def inbound_db(self) -> Path:
        return self.in_dir / layout.INBOUND_DB

    def exists(self) -> bool:
        return self.inbound_db.is_file()

    def create(self) -> None:
        """Makes the folder and an empty inbound file, or brings back that of a closed session.

        Safe to repeat, also after a crash.
        """
        restore(self.root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.in_dir, self.out_dir):
            folder.mkdir(exist_ok=True)
        self.in_dir.chmod(READABLE_FOLDER)
        if not self.inbound_db.exists():
            create_inbound(self.inbound_db)
        self.inbound_db.chmod(0o644)

    def open_out(self) -> int:
        """A handle on ``out``; the caller closes it. Raises FileNotFoundError when missing.

        The entry ``out`` itself lies in a host-owned folder and is a mount point in the
        container, so the agent cannot replace it; O_NOFOLLOW guards against everything else.
        """
        return os.open(self.out_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
