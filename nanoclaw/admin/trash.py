"""Folders of what was deleted: set aside under ``data/trash``, or removed for good (N-66).

Called after the commit that deleted the rows. Each step can be repeated; a folder that is not
there is no error. Nothing below a folder is followed through links: it belongs to an agent.
"""

import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from nanoclaw.paths import PRIVATE_MODE, HostPaths

TRASH = "trash"


def set_aside(paths: HostPaths, name: str, folders: Iterable[Path], now: datetime) -> Path:
    """Moves the folders to ``data/trash/<time>-<name>``; where that is. Raises OSError."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    place = paths.data / TRASH / f"{stamp}-{name}"
    place.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
    for folder in folders:
        if folder.exists() or folder.is_symlink():
            folder.rename(_free(place / f"{folder.parent.name}-{folder.name}"))
    return place


def purge(folders: Iterable[Path]) -> None:
    """Raises OSError."""
    for folder in folders:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)


def _free(place: Path) -> Path:
    number, free = 2, place
    while free.exists():
        free = place.with_name(f"{place.name}-{number}")
        number += 1
    return free
