"""Disk space kept back, so that the host's own commits go on when the disk is full.

A file of 256 MiB that holds nothing, made at start. The supervisor looks at the free space now and
then and empties the file when hardly any is left; the next start makes it again. A disk that is
too small for it gets none; the host works without.
"""

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_BYTES = 256 * 1024 * 1024
GIVE_BACK_BELOW_BYTES = 32 * 1024 * 1024
"""Free space under which commits of several processes might fail at any moment."""
LEAVE_FREE_BYTES = 1024 * 1024 * 1024
"""Must remain beside the reserve; a disk smaller than that has better uses for the space."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The reserve file of one host."""

    path: Path

    def give_back_if_full(self) -> None:
        """Frees the space when hardly any is left. Quick; never raises."""
        with contextlib.suppress(OSError):
            if self._held() and _free_bytes(self.path.parent) < GIVE_BACK_BELOW_BYTES:
                os.truncate(self.path, 0)
                log.error(
                    "disk full, reserve given back",
                    extra={"reason": f"make room on the disk of {self.path.parent} now"},
                )

    def take_if_roomy(self) -> None:
        """Makes the reserve unless it is there or the disk is too small. Never raises.

        At start only: a file system that cannot allocate at once has to write all of it.
        """
        with contextlib.suppress(OSError):
            roomy = _free_bytes(self.path.parent) >= RESERVE_BYTES + LEAVE_FREE_BYTES
            if roomy and not self._held():
                self._take()

    def _held(self) -> bool:
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _take(self) -> None:
        """In one step: a half-made reserve would be taken for a whole one."""
        temporary = self.path.with_name(self.path.name + ".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
            temporary.replace(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)


def _free_bytes(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
