"""Keeps long results whole for a day, below ``out/runner`` (R-252). Used by all tools."""

import contextlib
import os
from pathlib import Path

from contract.clock import utc_now
from contract.ids import new_id

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_TOTAL_BYTES = 200 * 1024 * 1024
KEEP_SECONDS = 24 * 3600.0


class Spool:
    """See ``runner.toolbox.source.Keeper``. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_path(self, suffix: str = ".txt") -> Path:
        """A name for a new file; raises OSError when the folder cannot be made."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clean()
        return self.folder / f"{new_id('out')}{suffix}"

    def keep(self, content: bytes, suffix: str) -> Path | None:
        """What is beyond the limit of one file is not kept; None when nothing could be."""
        try:
            path = self.new_path(suffix)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(content[:MAX_FILE_BYTES])
        except OSError:
            return None
        return path

    def _clean(self) -> None:
        """Old files go first, then the oldest ones until the rest fits."""
        oldest = utc_now().timestamp() - KEEP_SECONDS
        total = 0
        with contextlib.suppress(OSError):
            found = [(entry.stat(), entry) for entry in self.folder.iterdir()]
            for facts, entry in sorted(found, key=lambda pair: -pair[0].st_mtime):
                total += facts.st_size
                if facts.st_mtime < oldest or total > MAX_TOTAL_BYTES:
                    entry.unlink(missing_ok=True)
