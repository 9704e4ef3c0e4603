"""Hands a folder tree to the user that agents run as, when the host is root (W-57).

Called by the sweep before a container starts. The tree may be written by other agents of the group
at the same time, so every step goes through a folder handle and no link is ever followed; a file
with several names is left alone, because one of them may lie elsewhere. The top is handed over
last: a tree whose top has the right owner has been done completely.
"""

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

MAX_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int


def hand_over(folder: Path, owner: Owner) -> int:
    """How many entries changed hands; 0 at once when the top has the right owner already."""
    fd = os.open(folder, _FOLDER)
    try:
        if os.fstat(fd).st_uid == owner.uid:
            return 0
        changed = _hand_over_below(fd, owner, MAX_DEPTH)
        os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)
    log.info("folder handed to the agent's user", extra={"count": changed + 1})
    return changed + 1


def _hand_over_below(fd: int, owner: Owner, depth: int) -> int:
    changed = 0
    for name in os.listdir(fd):
        try:
            changed += _hand_over_entry(fd, name, owner, depth)
        except OSError as error:
            # Deleted or replaced while we looked: whoever did that owns it already.
            log.debug("not handed over", extra={"reason": str(error)})
    return changed


def _hand_over_entry(parent: int, name: str, owner: Owner, depth: int) -> int:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    changed = 0
    if stat.S_ISDIR(found.st_mode):
        if depth == 0:
            return 0
        fd = os.open(name, _FOLDER, dir_fd=parent)
        try:
            changed = _hand_over_below(fd, owner, depth - 1)
            if os.fstat(fd).st_uid != owner.uid:
                os.fchown(fd, owner.uid, owner.gid)
                changed += 1
        finally:
            os.close(fd)
        return changed
    if found.st_uid == owner.uid or found.st_nlink != 1:
        return 0
    os.chown(name, owner.uid, owner.gid, dir_fd=parent, follow_symlinks=False)
    return 1
