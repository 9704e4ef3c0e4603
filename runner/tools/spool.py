"""Keeps long results whole for a day, below ``out/runner`` (R-252). Used by all tools."""

import contextlib
import os
import threading
import time
from pathlib import Path

from contract.clock import utc_now
from contract.ids import new_id

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_TOTAL_BYTES = 200 * 1024 * 1024
MAX_FILES = 2000
KEEP_SECONDS = 24 * 3600.0
CLEAN_SECONDS = 30.0
"""The folder is looked through at most this often, or after this many new files."""
CLEAN_FILES = 50


class Spool:
    """See ``runner.toolbox.source.Keeper``. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: set[Path] = set()
        self._lock = threading.Lock()
        self._cleaned = float("-inf")
        self._new = 0

    def new_path(self, suffix: str = ".txt") -> Path:
        """A name for a new file; raises OSError when the folder cannot be made."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            self._new += 1
            if self._new > CLEAN_FILES or time.monotonic() - self._cleaned > CLEAN_SECONDS:
                self._clean()
        return self.folder / f"{new_id('out')}{suffix}"

    def hold(self, path: Path) -> None:
        """Something writes to it for a while; it stays until ``let_go``."""
        with self._lock:
            self._held.add(path)

    def let_go(self, path: Path) -> None:
        with self._lock:
            self._held.discard(path)

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
        self._new, self._cleaned = 0, time.monotonic()
        oldest = utc_now().timestamp() - KEEP_SECONDS
        total = 0
        for number, (changed, size, path) in enumerate(sorted(self._found(), reverse=True)):
            total += size
            if changed < oldest or total > MAX_TOTAL_BYTES or number >= MAX_FILES:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _found(self) -> list[tuple[float, int, Path]]:
        """Time of change, size, path; what cannot be looked at is left alone."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                path = Path(entry.path)
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if path not in self._held:
                        found.append((facts.st_mtime, facts.st_size, path))
        return found
