"""The home folder: settings, owners, rights."""

import os
import re
import shlex
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nanoclaw.config import SETTINGS, read_env_file
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts
from nanoclaw.errors import NanoclawError

MAX_LOOKED_AT = 20_000
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_DEPRECATED = {"CONTAINER_TIMEOUT", "CONTAINER_MAX_OUTPUT_SIZE", "IDLE_TIMEOUT",
               "MAX_MESSAGES_PER_PROMPT", "CREDENTIAL_PROXY_PORT"}  # fmt: skip
"""Of the earlier program; nothing has their meaning now."""


def _settings(facts: Facts) -> Finding | None:
    if not facts.broken:
        return None
    file = facts.paths.config_file
    fix = f"edit {file}; move it away to start with the defaults"
    return Finding(facts.broken, "No command and no host starts on this home.", fix, by_hand=True)


def _env(facts: Facts) -> dict[str, str]:
    try:
        return dict(read_env_file(facts.paths.env_file))
    except NanoclawError as error:
        raise CannotLookError(str(error)) from error


def _env_secrets(facts: Facts) -> Finding | None:
    names = sorted(name for name in _env(facts) if _SECRET.search(name))
    if not names:
        return None
    name = names[0].lower().replace("_", "-")
    return Finding(
        f"{facts.paths.env_file} holds {', '.join(names)}",
        "A plain file of settings is copied and shown more easily than the secret store.",
        f"{facts.command('secrets set ' + name)}, then take its line out of .env", by_hand=True,
    )  # fmt: skip


def _env_old(facts: Facts) -> Finding | None:
    known = {setting.variable for setting in SETTINGS}
    names = sorted(n for n in _env(facts) if n in _DEPRECATED and n not in known)
    if not names:
        return None
    words = "|".join(names)
    fix = f"sed -i -E '/^({words})=/d' {shlex.quote(str(facts.paths.env_file))}"
    return Finding(f".env sets {', '.join(names)}", "Nothing reads these any more.", fix)


def _there(facts: Facts) -> Finding | None:
    home = facts.paths.home
    if home.is_dir():
        return None
    what = "is no folder" if home.exists() else "does not exist"
    fix = f"nanoclaw --home {shlex.quote(str(home))} setup"
    return Finding(f"{home} {what}", "There is no installation here.", fix)


def _needs_home(facts: Facts) -> Path:
    if not facts.paths.home.is_dir():
        raise CannotLookError("there is no home folder")
    return facts.paths.home


def _home_owner(facts: Facts) -> Finding | None:
    home = _needs_home(facts)
    owner = home.stat().st_uid
    if owner == facts.machine.uid:
        return None
    return Finding(f"{home} belongs to user id {owner}, you are {facts.machine.uid}",
                   "The host refuses to start as somebody else.",
                   f"sudo chown -R {facts.machine.uid} {shlex.quote(str(home))}")  # fmt: skip


def _home_mode(facts: Facts) -> Finding | None:
    home = _needs_home(facts)
    mode = stat.S_IMODE(home.stat().st_mode)
    if not mode & 0o022:
        return None
    return Finding(f"{home} has mode {mode:04o}", "Others on this machine may put files there.",
                   f"chmod go-w {shlex.quote(str(home))}")  # fmt: skip


def _folders(facts: Facts) -> list[Path]:
    paths = facts.paths
    return [paths.data, paths.sessions, paths.groups, paths.secrets, paths.logs, paths.run]


def _missing(facts: Facts) -> Finding | None:
    _needs_home(facts)
    names = [path.name for path in _folders(facts) if not path.is_dir()]
    if not names:
        return None
    return Finding(f"missing folders: {', '.join(names)}",
                   "Nothing of them can be read; the host makes them empty.")  # fmt: skip


def _make_folders(facts: Facts) -> str:
    facts.paths.ensure()
    return "made the missing folders"


def _loose(facts: Facts) -> Iterator[Path]:
    """Private things that others may read; links are not followed."""
    paths = facts.paths
    files = [paths.central_db, paths.config_file, paths.env_file]
    files += [path.with_name(path.name + end) for path in (paths.central_db,)
              for end in ("-wal", "-shm")]  # fmt: skip
    folders = [paths.data, paths.logs, paths.run, paths.backups, paths.sessions]
    for path in (*files, *folders):
        if path.exists() and not path.is_symlink() and path.stat().st_mode & 0o077:
            yield path


def _modes(facts: Facts) -> Finding | None:
    names = [str(path.relative_to(facts.paths.home)) for path in _loose(facts)]
    if not names:
        return None
    return Finding(f"others may look into {', '.join(names)}",
                   "Messages and settings are open to every user of this machine.")  # fmt: skip


def _close_modes(facts: Facts) -> str:
    found = list(_loose(facts))
    for path in found:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o077)
    return f"closed {len(found)} files and folders"


def _secret_files(facts: Facts) -> Iterator[Path]:
    folder = facts.paths.secrets
    if not folder.is_dir():
        return
    if folder.stat().st_mode & 0o077:
        yield folder
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and path.stat().st_mode & 0o077:
            yield path


def _secret_modes(facts: Facts) -> Finding | None:
    names = [path.name for path in _secret_files(facts)]
    if not names:
        return None
    return Finding(f"others may read {', '.join(names[:5])} of secrets/",
                   "The vault refuses to use such a key.")  # fmt: skip


def _close_secrets(facts: Facts) -> str:
    found = list(_secret_files(facts))
    for path in found:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return f"closed {len(found)} files"


def _foreign(facts: Facts) -> Finding | None:
    home = _needs_home(facts)
    found = [path for path in islice(_files(facts), MAX_LOOKED_AT)
             if _owner(path) not in (None, facts.machine.uid)]  # fmt: skip
    if not found:
        return None
    return Finding(f"{len(found)} files of somebody else, such as {found[0]}",
                   "The host cannot read or replace them; often a command was run with sudo.",
                   f"sudo chown -R {facts.machine.uid} {shlex.quote(str(home))}")  # fmt: skip


def _files(facts: Facts) -> Iterator[Path]:
    """Sessions are left out: an engine that maps users gives their files to another one."""
    paths = facts.paths
    for top in (paths.data, paths.secrets, paths.logs, paths.run, paths.backups):
        for folder, names, files in os.walk(top):
            names[:] = [name for name in names if name != paths.sessions.name]
            yield from (Path(folder) / name for name in (*names, *files))


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _zone_set(facts: Facts) -> Finding | None:
    if facts.config.timezone not in ("UTC", "Etc/UTC"):
        return None
    return Finding(
        "the time zone is UTC",
        "Tasks for 9 o'clock run at 9 o'clock in UTC.",
        'timezone = "Europe/Berlin", or yours, in config.toml',
        by_hand=True,
    )


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("config-valid", "settings", _E, "the settings can be read", _settings),
    Check("config-env-secrets", "settings", _W, "no secret stands in .env", _env_secrets),
    Check("config-env-old", "settings", _N, "no line of .env is out of use", _env_old),
    Check("config-timezone", "settings", _N, "a time zone is chosen", _zone_set),
    Check("home-there", "home", _E, "the home folder is there", _there),
    Check("home-owner", "home", _E, "the home folder is yours", _home_owner),
    Check("home-mode", "home", _W, "only you write to the home folder", _home_mode),
    Check("home-folders", "home", _W, "all folders are there", _missing, _make_folders),
    Check("home-private", "home", _W, "data is closed to others", _modes, _close_modes),
    Check("home-secrets", "home", _E, "secrets are closed to others", _secret_modes,
          _close_secrets),
    Check("home-foreign", "home", _W, "no file belongs to somebody else", _foreign),
)  # fmt: skip
