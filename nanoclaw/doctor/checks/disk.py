"""Space, backups, and what was left behind."""

import errno
import shlex
import shutil
import socket
from datetime import timedelta
from pathlib import Path

from contract.clock import parse_text
from nanoclaw.backup import catalog
from nanoclaw.backup.create import SCRATCH, clear_leftovers, locked
from nanoclaw.backup.proof import read_proof
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import Facts
from nanoclaw.reserve import LEAVE_FREE_BYTES, RESERVE_BYTES, Reserve

LEAST_FREE = 1 << 30
LARGE_LOGS = 1 << 30
OLD_BACKUP = timedelta(days=2)
OLD_PROOF = timedelta(days=60)
OLD_FILE_SECONDS = 3600
MAX_FILES = 20_000


def _free(facts: Facts) -> Finding | None:
    home = facts.paths.home
    if not home.is_dir():
        return None
    free = facts.free_bytes(home)
    if free >= LEAST_FREE:
        return None
    return Finding(f"{free >> 20} MiB left on the disk of {home}",
                   "Soon no message can be kept.", facts.command("disk clean --yes"))  # fmt: skip


def _reserve(facts: Facts) -> Finding | None:
    paths = facts.paths
    if not paths.central_db.exists():
        return None
    path = paths.reserve_file
    held = path.exists() and path.stat().st_size > 0
    if held or facts.free_bytes(paths.data) < RESERVE_BYTES + LEAVE_FREE_BYTES:
        return None
    return Finding("the reserve on the disk is not held",
                   "When the disk is full the host cannot finish what it does.")  # fmt: skip


def _take_reserve(facts: Facts) -> str:
    Reserve(facts.paths.reserve_file).take_if_roomy()
    return "took the reserve"


def _log_files(facts: Facts) -> list[Path]:
    return [path for path in _below(facts.paths.logs) if path.is_file() and not path.is_symlink()]


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        found.append(path)
        if len(found) >= MAX_FILES:
            break
    return found


def _logs(facts: Facts) -> Finding | None:
    size = sum(path.stat().st_blocks * 512 for path in _log_files(facts))
    if size <= LARGE_LOGS:
        return None
    return Finding(f"the logs take {size >> 20} MiB", "They are in the way of everything else.",
                   facts.command("disk clean --yes"))  # fmt: skip


def _backup_age(facts: Facts) -> Finding | None:
    if not facts.paths.central_db.exists():
        return None
    good = [entry for entry in catalog.entries(facts.paths.backups) if entry.manifest is not None]
    if good and facts.now - good[0].created_at <= OLD_BACKUP:
        return None
    shown = f"the newest backup is of {good[0].created_at:%Y-%m-%d}" if good else "no backup"
    return Finding(shown, "What happened since is lost with this disk.",
                   facts.command("backup create"))  # fmt: skip


def _backup_broken(facts: Facts) -> Finding | None:
    bad = [entry for entry in catalog.entries(facts.paths.backups) if entry.manifest is None]
    if not bad:
        return None
    return Finding(f"{bad[0].path.name}: {bad[0].problem}"[:300], "It cannot be restored.",
                   f"rm {shlex.quote(str(bad[0].path))}")  # fmt: skip


def _backup_proof(facts: Facts) -> Finding | None:
    good = [entry for entry in catalog.entries(facts.paths.backups) if entry.manifest is not None]
    if not good:
        return None
    proof = read_proof(facts.paths.backups)
    at = parse_text(proof.proven_at) if proof else None
    if at is not None and facts.now - at <= OLD_PROOF:
        return None
    words = f"backup verify {shlex.quote(str(good[0].path))} --drill"
    return Finding(
        "no backup was restored and started for a long time",
        "Whether one works is known when it was tried.",
        facts.command(words),
    )


def _backup_off(facts: Facts) -> Finding | None:
    if facts.config.backup_every != "off":
        return None
    return Finding("no backups are made by themselves", "One is as old as you let it become.",
                   'backup_every = "30 3 * * *" in config.toml', by_hand=True)  # fmt: skip


def _dead_sockets(facts: Facts) -> list[Path]:
    folder = facts.paths.run
    return [path for path in sorted(folder.glob("*.sock")) if path.is_socket() and _is_dead(path)]


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def _sockets(facts: Facts) -> Finding | None:
    found = _dead_sockets(facts) if facts.host_pid is None else []
    if not found:
        return None
    return Finding(f"{len(found)} sockets of a host that is gone, such as {found[0].name}",
                   "Harmless; commands that meet them wait in vain.")  # fmt: skip


def _drop_sockets(facts: Facts) -> str:
    found = _dead_sockets(facts)
    for path in found:
        path.unlink(missing_ok=True)
    return f"removed {len(found)} sockets"


def _unfinished(facts: Facts) -> list[Path]:
    paths = facts.paths
    oldest = facts.now.timestamp() - OLD_FILE_SECONDS
    folders = (paths.home, paths.data, paths.run, paths.audit, paths.backups, paths.secrets)
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())
            if path.name.endswith(".new") and path.is_file() and not path.is_symlink()
            and path.stat().st_mtime < oldest]  # fmt: skip


def _temporary(facts: Facts) -> Finding | None:
    found = _unfinished(facts)
    if not found:
        return None
    return Finding(f"{len(found)} half-written files, such as {found[0]}",
                   "Left by a program that was killed; nothing reads them.")  # fmt: skip


def _drop_temporary(facts: Facts) -> str:
    found = _unfinished(facts)
    for path in found:
        path.unlink(missing_ok=True)
    return f"removed {len(found)} files"


def _scratch(facts: Facts) -> Finding | None:
    folder = facts.paths.backups
    found = sorted(folder.glob(f"{SCRATCH}*")) if folder.is_dir() else []
    old = [path for path in found
           if path.stat().st_mtime < facts.now.timestamp() - OLD_FILE_SECONDS]  # fmt: skip
    if not old:
        return None
    return Finding(f"{len(old)} folders of backups that were not finished", "They take space.")


def _drop_scratch(facts: Facts) -> str:
    with locked(facts.paths.backups):
        clear_leftovers(facts.paths.backups)
    return "removed what unfinished backups left"


def _old_code(facts: Facts) -> list[Path]:
    """All but the newest copy of the runner. None while an agent may have one mounted."""
    folder = facts.paths.runtime
    if facts.host_pid is not None or not folder.is_dir() or facts.ask_central("running")[0][0]:
        return []
    copies = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return sorted(copies, key=lambda path: path.stat().st_mtime)[:-1]


def _runtimes(facts: Facts) -> Finding | None:
    found = _old_code(facts)
    if not found:
        return None
    return Finding(f"{len(found)} copies of earlier runners, such as {found[0].name}",
                   "They take space; no agent runs that uses them.")  # fmt: skip


def _drop_runtimes(facts: Facts) -> str:
    found = _old_code(facts)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return f"removed {len(found)} copies"


def _aside(facts: Facts) -> Finding | None:
    oldest = (facts.now - timedelta(days=catalog.ASIDE_DAYS)).timestamp()
    home = facts.paths.home
    found = [path for path in home.glob(f"{catalog.ASIDE}*") if path.stat().st_ctime < oldest]
    if not found:
        return None
    return Finding(f"{found[0].name}: data of before a restore, over a week old", "It takes space.",
                   facts.command("disk clean --yes"))  # fmt: skip


_W, _N = Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("disk-free", "disk", Severity.ERROR, "there is room on the disk", _free),
    Check("disk-reserve", "disk", _W, "the reserve is held", _reserve, _take_reserve),
    Check("disk-logs", "disk", _N, "the logs are small", _logs),
    Check("backup-age", "backups", _W, "there is a recent backup", _backup_age),
    Check("backup-broken", "backups", _W, "every backup is whole", _backup_broken),
    Check("backup-proof", "backups", _N, "a backup was tried", _backup_proof),
    Check("backup-schedule", "backups", _N, "backups are made by themselves", _backup_off),
    Check("left-sockets", "leftovers", _N, "no dead sockets", _sockets, _drop_sockets),
    Check("left-files", "leftovers", _N, "no half-written files", _temporary, _drop_temporary),
    Check("left-backups", "leftovers", _N, "no unfinished backups", _scratch, _drop_scratch),
    Check("left-runners", "leftovers", _N, "no earlier runners", _runtimes, _drop_runtimes),
    Check("left-aside", "leftovers", _N, "no old data of before a restore", _aside),
)
