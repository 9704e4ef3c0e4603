"""The backups of one folder: what there is, and ``prune``.

Called by the command line and the schedule. Only whole archives are shown as good; what has a
backup's name and is not one is shown with the reason, and never deleted by retention.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract.clock import parse_text
from nanoclaw.backup.create import clear_leftovers, locked
from nanoclaw.backup.manifest import BackupError, Manifest
from nanoclaw.backup.reading import quick_look
from nanoclaw.backup.retention import Keep, superfluous
from nanoclaw.paths import HostPaths

PATTERN = "nanoclaw-*.tar.gz"
ASIDE = "before-restore-"
ASIDE_DAYS = 7
"""How long the data of before a restore stays, unless all of it is asked away."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``manifest`` None: not whole, and ``problem`` says why."""

    path: Path
    bytes: int
    manifest: Manifest | None
    problem: str | None = None

    @property
    def created_at(self) -> datetime:
        found = parse_text(self.manifest.created_at) if self.manifest is not None else None
        return found or datetime.min.replace(tzinfo=UTC)


def entries(folder: Path) -> list[Entry]:
    """Newest first; those that cannot be read last."""
    found = [_entry(path) for path in folder.glob(PATTERN)] if folder.is_dir() else []
    return sorted(found, key=lambda entry: (entry.created_at, entry.path.name), reverse=True)


def _entry(path: Path) -> Entry:
    size = path.stat().st_size if path.exists() else 0
    try:
        return Entry(path, size, quick_look(path))
    except (BackupError, OSError) as error:
        return Entry(path, size, None, str(error))


def to_prune(paths: HostPaths, keep: Keep, now: datetime) -> list[Path]:
    """Superfluous backups, and homes of before a restore that are older than a week."""
    good = [entry for entry in entries(paths.backups) if entry.manifest is not None]
    places = superfluous([entry.created_at for entry in good], keep)
    found = [good[place].path for place in places]
    oldest = (now - timedelta(days=ASIDE_DAYS)).timestamp()
    for path in sorted(paths.home.glob(f"{ASIDE}*")):
        if path.is_dir() and not path.is_symlink() and path.stat().st_ctime < oldest:
            found.append(path)
    return found


def prune(paths: HostPaths, keep: Keep, now: datetime) -> list[Path]:
    """Deletes what ``to_prune`` names, and what killed creates left; what is gone."""
    if not paths.backups.is_dir():
        return []
    with locked(paths.backups):
        clear_leftovers(paths.backups)
        gone = to_prune(paths, keep, now)
        for path in gone:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return gone
