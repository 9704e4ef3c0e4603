"""Deletes old conversation files of a session (R-294).

Called when a conversation is opened. Everything of one conversation (index, transcripts of its
sub-agents, a corrupt original) goes together. Files that are not ours stay.
"""

import logging
from pathlib import Path

from runner.log import fields
from runner.providers.claude.identity import conversation_of

KEEP_NEWEST = 5
KEEP_BYTES = 200 * 1024 * 1024

_log = logging.getLogger(__name__)


def forget_old(folder: Path, current: str) -> int:
    """How many conversations went. The current one stays whatever its size; never fails."""
    files: dict[str, list[Path]] = {}
    try:
        for path in folder.iterdir():
            owner = conversation_of(path.name)
            if owner is not None:
                files.setdefault(owner, []).append(path)
    except OSError as error:
        _log.warning("conversations cannot be listed", extra=fields(reason=error))
        return 0
    kept, used, gone = 0, 0, 0
    for owner in sorted(files, key=lambda name: (name != current, _reversed(name))):
        size = sum(_size(path) for path in files[owner])
        if owner == current or (kept < KEEP_NEWEST and used + size <= KEEP_BYTES):
            kept, used = kept + 1, used + size
            continue
        gone += 1
        for path in files[owner]:
            _delete(path)
    if gone:
        _log.info("old conversations deleted", extra=fields(count=gone))
    return gone


def _reversed(name: str) -> list[int]:
    """Sorts ids, which begin with their time, newest first."""
    return [-ord(letter) for letter in name]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        _log.warning("old conversation cannot be deleted", extra=fields(reason=error))
