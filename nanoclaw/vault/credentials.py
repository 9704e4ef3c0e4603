"""The key for the model's address: where it is kept, and how it is written on a request.

Read for every request, so that a key changed on disk counts at once; a file is read again only when
its stamp has changed. Looked for in this order: ``secrets/anthropic-api-key``,
``secrets/anthropic-auth-token``, the host's environment, ``.env``. A problem is told in words for
the owner; a key itself is never part of a text, a log line or a ``repr``.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.config import KeyHeader, read_env_file
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths

MAX_KEY_BYTES = 16 * 1024
API_KEY, AUTH_TOKEN = "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"
SUBSCRIPTION = "CLAUDE_CODE_OAUTH_TOKEN"
SUBSCRIPTION_PREFIX = "sk-ant-oat"
NEXT_STEP = (
    "put an API key into the file {file} (mode 0600), or ANTHROPIC_API_KEY=... into {env}; "
    "no restart is needed"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """One header of a request."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """No usable key; ``text`` says why and what to do."""

    text: str


@dataclass(slots=True)
class _Seen:
    stamp: tuple[int, ...] | None = None
    found: "str | Missing | None" = field(default=None, repr=False)


class Credentials:
    """``environment`` is the host's own; it cannot change while the process runs."""

    def __init__(
        self, paths: HostPaths, environment: Mapping[str, str], key_header: KeyHeader
    ) -> None:
        self._paths = paths
        self._key_header = key_header
        self._environment = environment
        self._files = {
            API_KEY: (paths.secrets / "anthropic-api-key", _Seen()),
            AUTH_TOKEN: (paths.secrets / "anthropic-auth-token", _Seen()),
        }
        self._env_stamp: tuple[int, ...] | None = None
        self._env_values: Mapping[str, str] = {}

    def current(self) -> Credential | Missing:
        for name, (path, seen) in self._files.items():
            found = _read_secret(path, seen)
            if isinstance(found, Missing):
                return found
            if found is not None:
                return self._checked(name, found, str(path))
        for source, values in (
            ("the host's environment", self._environment),
            (str(self._paths.env_file), self._env_file()),
        ):
            for name in (API_KEY, AUTH_TOKEN):
                if values.get(name):
                    return self._checked(name, values[name].strip(), f"{name} in {source}")
            if values.get(SUBSCRIPTION):
                return self._subscription(f"{SUBSCRIPTION} in {source}")
        return Missing(f"the host has no key for the model: {self._next_step()}")

    def _checked(self, name: str, value: str, where: str) -> Credential | Missing:
        if value.startswith(SUBSCRIPTION_PREFIX):
            return self._subscription(where)
        if not value.isascii() or not value.isprintable() or not value or " " in value:
            return Missing(
                f"{where} is not a key: it is empty or holds blanks; {self._next_step()}"
            )
        if name == API_KEY and self._key_header is KeyHeader.X_API_KEY:
            return Credential("x-api-key", value)
        return Credential("authorization", f"Bearer {value}")

    def _subscription(self, where: str) -> Missing:
        return Missing(
            f"{where} is the token of a Claude subscription, which this provider cannot use; "
            + self._next_step()
        )

    def _next_step(self) -> str:
        return NEXT_STEP.format(file=self._files[API_KEY][0], env=self._paths.env_file)

    def _env_file(self) -> Mapping[str, str]:
        try:
            found = self._paths.env_file.stat()
        except OSError:
            self._env_stamp = None
            return {}
        if _stamp(found) != self._env_stamp:
            try:
                self._env_values = read_env_file(self._paths.env_file)
            except ConfigError:
                self._env_values = {}
            self._env_stamp = _stamp(found)
        return self._env_values


def _read_secret(path: Path, seen: _Seen) -> "str | Missing | None":
    """The file's content; None without such a file. A file that others can read is no secret."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        seen.stamp, seen.found = None, None
        return None
    except OSError as error:
        return Missing(f"{path} cannot be read: {error.strerror or error}")
    try:
        found = os.fstat(fd)
        if _stamp(found) != seen.stamp:
            seen.found = _content(fd, path, found)
            seen.stamp = _stamp(found)
    finally:
        os.close(fd)
    return seen.found


def _content(fd: int, path: Path, found: os.stat_result) -> str | Missing:
    if not stat.S_ISREG(found.st_mode):
        return Missing(f"{path} is not a file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return Missing(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
    content = os.read(fd, MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        return Missing(f"{path} is too large for a key")
    return content.decode("utf-8", "replace").strip()


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)
