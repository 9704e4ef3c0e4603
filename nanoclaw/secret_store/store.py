"""The owner's secrets by name: get, put, remove, list.

Used by the vault, the leak guard and ``nanoclaw secrets``; the same object for both backends. Reads
are live and cheap: a value is read again only when its stamp has changed. What is known besides
the values stands in the index, which is written after the value when one appears and before it
when one goes, so that a killed command leaves nothing that cannot be seen or removed.
"""

from datetime import datetime

from contract.killpoint import reached
from nanoclaw.config import HostConfig, SecretsBackend
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.backends import Backend
from nanoclaw.secret_store.entries import (
    Kind,
    SecretError,
    SecretInfo,
    checked_name,
    checked_value,
    usual_kind,
)
from nanoclaw.secret_store.files import FileBackend
from nanoclaw.secret_store.index import Entry, Index


class SecretStore:
    """Not for several threads at once; several processes may use one home."""

    def __init__(self, paths: HostPaths, backend: SecretsBackend) -> None:
        self._index = Index(paths.secrets)
        self._backend: Backend
        if backend is SecretsBackend.FILES:
            self._backend = FileBackend(paths.secrets)
        else:
            from nanoclaw.secret_store.keyring import KeyringBackend

            self._backend = KeyringBackend(paths.slug, self._index)

    def get(self, name: str) -> str | None:
        """None: there is no such secret. Raises SecretError for one that cannot be used."""
        return self._backend.get(checked_name(name))

    def where(self, name: str) -> str:
        """For texts: the file, or the name in the keyring."""
        return self._backend.where(name)

    def put(self, name: str, value: str, kind: Kind | None, now: datetime) -> SecretInfo:
        """Sets or replaces it in one step; ``kind`` None: as it was. Raises SecretError."""
        value = checked_value(checked_name(name), value)
        with self._index.locked():
            entries = self._index.read()
            old = entries.get(name)
            self._backend.put(name, value)
            reached("secrets.stored")
            chosen = kind or (old.kind if old else usual_kind(name))
            entry = Entry(chosen, old.created_at if old else now, now)
            self._index.write({**entries, name: entry})
        return SecretInfo(name, entry.kind, entry.created_at, entry.rotated_at)

    def remove(self, name: str) -> bool:
        """False: there was none."""
        with self._index.locked():
            entries = self._index.read()
            there = self._backend.remove(checked_name(name))
            reached("secrets.removed")
            if name in entries:
                self._index.write({key: value for key, value in entries.items() if key != name})
        return there

    def has(self, name: str) -> bool:
        return any(info.name == name for info in self.list())

    def list(self) -> "list[SecretInfo]":
        """By name; also files that somebody put there without us."""
        entries = self._index.read()
        found = []
        for name, seen_at in self._backend.names().items():
            entry = entries.get(name) or Entry(usual_kind(name), seen_at, seen_at)
            rotated = max(entry.rotated_at, seen_at)
            found.append(
                SecretInfo(name, entry.kind, entry.created_at, rotated, self._backend.problem(name))
            )
        return sorted(found, key=lambda info: info.name)

    def kind_of(self, name: str) -> Kind:
        entry = self._index.read().get(name)
        return entry.kind if entry is not None else usual_kind(name)

    def values(self) -> dict[str, str]:
        """All that can be read; for the leak guard."""
        found = {}
        for name in self._backend.names():
            try:
                value = self._backend.get(name)
            except SecretError:
                continue
            if value:
                found[name] = value
        return found

    def stamp(self) -> tuple[object, ...]:
        """Another one as soon as any secret has changed."""
        return (*self._index.stamp(), *self._backend.stamp())


def open_store(config: HostConfig) -> SecretStore:
    """Raises SecretError when the keyring is wanted and cannot be used."""
    return SecretStore(config.paths, config.secrets_backend)
