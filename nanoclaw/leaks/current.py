"""The scanner for the secrets that there are just now.

Held by the delivery process and by the vault, in their memory only. Its secrets are those of the
store, private keys below ``secrets/``, and what ``.env`` and the host's environment call a key, a
token, a secret or a password; they are read again when a stamp has changed. Session tokens are none
of the owner's secrets: each opens one door for one container, which knows it anyway.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from nanoclaw.config import HostConfig, read_env_file
from nanoclaw.errors import ConfigError
from nanoclaw.leaks.scanner import Guarded, Scanner
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import MAX_SECRET_BYTES, SecretError
from nanoclaw.secret_store.private_file import Stamp, read_private, stamp_of
from nanoclaw.secret_store.store import SecretStore, open_store

_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASSPHRASE")
SHORTEST_KEY_LINE = 20

log = logging.getLogger(__name__)


class CurrentSecrets:
    """``environment`` is the host's own; it cannot change while the process runs."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str]) -> None:
        self._paths: HostPaths = config.paths
        self._environment = {
            name: value for name, value in environment.items() if _is_secret_name(name)
        }
        self._store = _store_of(config)
        self._stamp: tuple[object, ...] | None = None
        self._scanner = Scanner(())

    def scanner(self) -> Scanner:
        """Cheap as long as nothing has changed."""
        stamp = self._now()
        if stamp != self._stamp:
            self._scanner = Scanner(self._read())
            self._stamp = stamp
        return self._scanner

    def known(self) -> Scanner | None:
        """Without reading a secret; None: something has changed."""
        return self._scanner if self._now() == self._stamp else None

    def _now(self) -> tuple[object, ...]:
        stored = self._store.stamp() if self._store is not None else ()
        keys = tuple((path.name, stamp_of(path)) for path in _private_keys(self._paths.secrets))
        env: Stamp | None = stamp_of(self._paths.env_file)
        return (stored, keys, env)

    def _read(self) -> Iterator[Guarded]:
        if self._store is not None:
            for name, value in self._store.values().items():
                yield Guarded(name, value)
        for path in _private_keys(self._paths.secrets):
            yield from _lines_of(path)
        for name, value in self._environment.items():
            yield Guarded(f"{name} in the host's environment", value.strip())
        try:
            env_file = read_env_file(self._paths.env_file)
        except ConfigError as error:
            log.warning("secrets not read", extra={"reason": str(error)})
            return
        for name, value in env_file.items():
            if _is_secret_name(name):
                yield Guarded(f"{name} in {self._paths.env_file}", value)


def _store_of(config: HostConfig) -> SecretStore | None:
    """Without its keyring the host has no secrets there that could leave."""
    try:
        return open_store(config)
    except SecretError as error:
        log.warning("leak guard without the store", extra={"reason": str(error)})
        return None


def _is_secret_name(name: str) -> bool:
    return name.upper().endswith(_ENDINGS)


def _private_keys(folder: Path) -> list[Path]:
    """Files such as the key of the vault's own authority."""
    return sorted(folder.glob("*key*.pem"))


def _lines_of(path: Path) -> Iterator[Guarded]:
    try:
        text = read_private(path, MAX_SECRET_BYTES) or ""
    except SecretError:
        return
    for line in text.splitlines():
        if len(line) >= SHORTEST_KEY_LINE and not line.startswith("-----"):
            yield Guarded(path.name, line.strip())
