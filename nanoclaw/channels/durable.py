"""Small files that survive a crash: appended with fsync, or replaced in one step.

Used by the journal, the cursor and the terminal's kept output. All files are mode 0600; the
folder is synced too, because a rename that is only in memory is no rename after a power loss.
"""

import os
from pathlib import Path

from contract.durable import sync_folder

PRIVATE = 0o600


def append_file(path: Path) -> int:
    """A descriptor for appending; the file exists durably afterwards."""
    existed = path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
    if not existed:
        sync_folder(path.parent)
    return fd


def sync_data(fd: int) -> None:
    """Contents and length are on the disk; times need not be."""
    fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    fdatasync(fd)


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Readers see the old or the new content, never a mixture."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            sync_data(fd)
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)
