"""Names that survive a loss of power.

Used on both sides by whoever renames a finished file into its place: the fsync of the file keeps
what is in it, that of the folder keeps that it is there.
"""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Raises OSError. What was created, renamed or removed in it is on the disk afterwards."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
