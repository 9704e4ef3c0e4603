"""Secrets in a keyring: the library's own interface, with a keyring in memory behind it."""

from pathlib import Path

import pytest
from keyring.backend import KeyringBackend as Ring
from keyring.errors import PasswordDeleteError, PasswordSetError

from contract.clock import utc_now
from nanoclaw.secret_store.entries import Kind, SecretError
from nanoclaw.secret_store.index import Entry, Index
from nanoclaw.secret_store.keyring import KeyringBackend

VALUE = "tR7kq2Wz9-value"


class MemoryRing(Ring):
    """Never chosen by the library itself."""

    priority = -1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise PasswordSetError(f"cannot store {password}")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("no such password")
        del self.kept[service, username]


def made(folder: Path) -> tuple[MemoryRing, Index, KeyringBackend]:
    ring, index = MemoryRing(), Index(folder)
    return ring, index, KeyringBackend("0a1b2c3d", index, ring)


def test_value_is_in_the_ring_and_in_no_file(tmp_path: Path) -> None:
    ring, index, backend = made(tmp_path)

    backend.put("github-token", VALUE)
    index.write({"github-token": Entry(Kind.AUTH_TOKEN, utc_now(), utc_now())})

    assert ring.kept == {("nanoclaw-0a1b2c3d", "github-token"): VALUE}
    assert backend.get("github-token") == VALUE
    assert list(backend.names()) == ["github-token"]
    assert not any(VALUE in path.read_text() for path in tmp_path.iterdir())
    assert backend.remove("github-token")
    assert backend.get("github-token") is None
    assert "secrets set github-token" in (backend.problem("github-token") or "")


def test_locked_ring_is_told_without_the_value(tmp_path: Path) -> None:
    ring, _, backend = made(tmp_path)
    ring.locked = True

    with pytest.raises(SecretError) as caught:
        backend.put("github-token", VALUE)

    assert VALUE not in str(caught.value)
    assert 'secrets_backend = "files"' in str(caught.value)
