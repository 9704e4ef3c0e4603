"""One archive for whoever helps: what the installation is and does, and nothing of its owner.

Called by ``nanoclaw support``, which shows the names first. No message, no file of an agent, no
secret: the databases give their schema and numbers only, ``.env`` the names of its lines, and
every text goes through ``scrub``. All sizes are bounded.
"""

import gzip
import io
import json
import os
import platform
import sqlite3
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nanoclaw.config import SETTINGS, HostConfig, host_environment, read_env_file
from nanoclaw.containers.network import read_network
from nanoclaw.db import health
from nanoclaw.errors import NanoclawError, StateError
from nanoclaw.leaks.current import CurrentSecrets
from nanoclaw.secret_store.store import open_store
from nanoclaw.support.scrub import Scrubber
from nanoclaw.version import VERSION

TAIL_BYTES = 256 * 1024
MAX_LOGS = 40
MAX_STATUS = 1024 * 1024
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Part:
    """``what`` is said to whoever decides to send it."""

    name: str
    what: str
    data: bytes


def gather(config: HostConfig, doctor: Mapping[str, object]) -> list[Part]:
    """Everything, scrubbed. What cannot be read says so in its place."""
    scrubber = make_scrubber(config)

    def table(name: str, what: str, value: object) -> Part:
        text = json.dumps(scrubber.value(value), indent=1, ensure_ascii=False)
        return Part(name, what, text.encode())

    parts = [
        table("versions.json", "program, Python, system", _versions()),
        table("doctor.json", "what the doctor says", dict(doctor)),
        table("status.json", "states of the host's processes", _status(config)),
        table("settings.json", "settings; of .env the names only", _settings(config)),
        table("database.json", "schema, rows per table, kinds of audit rows", _database(config)),
    ]
    for path in _logs(config):
        text = scrubber.text(_tail(path))
        parts.append(Part(f"logs/{path.name}", "the end of this log", text.encode()))
    return parts


def make_scrubber(config: HostConfig) -> Scrubber:
    environment = host_environment()
    values: list[str] = []
    try:
        values += open_store(config).values().values()
        lines = read_env_file(config.paths.env_file)
        values += [value for name, value in lines.items() if not _is_setting(name)]
    except NanoclawError:
        pass  # what cannot be read here is found by the patterns only
    return Scrubber(CurrentSecrets(config, environment).scanner(), values)


def write(parts: list[Part], target: Path, now: datetime) -> None:
    """Raises StateError; never over a file that is there."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=int(now.timestamp())) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for part in parts:
            info = tarfile.TarInfo(f"nanoclaw-support/{part.name}")
            info.size, info.mode, info.mtime = len(part.data), FILE_MODE, int(now.timestamp())
            archive.addfile(info, io.BytesIO(part.data))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(target, flags, FILE_MODE), "wb") as file:
            file.write(packed.getvalue())
    except OSError as error:
        raise StateError(
            f"cannot write {target}: {error.strerror or error}; choose another file with --output"
        ) from error


def _versions() -> dict[str, object]:
    return {
        "nanoclaw": VERSION,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
    }


def _status(config: HostConfig) -> dict[str, object]:
    paths = config.paths
    found: dict[str, object] = {"network": str(read_network(paths))}
    for path in sorted([paths.status_file, *paths.run.glob("channel-*.json")]):
        try:
            found[path.name] = json.loads(path.read_bytes()[:MAX_STATUS])
        except (OSError, ValueError, RecursionError):
            found[path.name] = "cannot be read"
    return found


def _settings(config: HostConfig) -> dict[str, object]:
    found = {s.key: str(getattr(config, s.key, "")) for s in SETTINGS if hasattr(config, s.key)}
    found.pop("assistant_name", None)
    try:
        names = sorted(read_env_file(config.paths.env_file))
    except NanoclawError:
        names = ["cannot be read"]
    return {**found, "names in .env": names, "key for a model": config.model_key_present}


def _is_setting(name: str) -> bool:
    return any(setting.variable == name for setting in SETTINGS)


def _database(config: HostConfig) -> object:
    path = config.paths.central_db
    if not path.is_file():
        return "there is none"
    try:
        return health.describe(path)
    except StateError as error:
        return f"cannot be read: {error}"


def _logs(config: HostConfig) -> list[Path]:
    """Of the host only: a session's log holds what its agent printed."""
    folder = config.paths.logs
    found = sorted(folder.glob("*.log*")) if folder.is_dir() else []
    return [path for path in found if path.is_file() and not path.is_symlink()][:MAX_LOGS]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"
    if size > TAIL_BYTES:  # half a secret is not found, so no half line
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace")
