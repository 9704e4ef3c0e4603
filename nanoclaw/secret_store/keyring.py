"""Secrets in the system's keyring, by the library ``keyring``.

A ``backends.Backend``; imported only when the setting ``secrets_backend`` says so. The keyring
cannot be listed, so the names are those of the index. A value is read again when the index has
changed: whoever changes one without ``nanoclaw secrets`` has to restart the host.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from nanoclaw.secret_store.entries import SecretError
from nanoclaw.secret_store.index import Index

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend as Ring

INSTALL = (
    "the setting secrets_backend is keyring, but the library is not there; run: "
    "pip install 'nanoclaw[keyring]', or set secrets_backend = \"files\""
)
NO_RING = (
    "this session has no usable keyring ({detail}); unlock or install one (GNOME Keyring, "
    'KWallet, macOS Keychain), or set secrets_backend = "files"'
)


class KeyringBackend:
    def __init__(self, slug: str, index: Index, ring: "Ring | None" = None) -> None:
        self._service = f"nanoclaw-{slug}"
        self._index = index
        self._ring = ring or _system_ring()
        self._seen: dict[str, str | None] = {}
        self._stamp: tuple[object, ...] = ()

    def get(self, name: str) -> str | None:
        if self._index.stamp() != self._stamp:
            self._seen, self._stamp = {}, self._index.stamp()
        if name not in self._seen:
            self._seen[name] = self._read(name)
        return self._seen[name]

    def put(self, name: str, value: str) -> None:
        from keyring.errors import KeyringError

        try:
            self._ring.set_password(self._service, name, value)
        except (KeyringError, OSError) as error:
            raise _refusal(error) from None
        self._seen.pop(name, None)

    def remove(self, name: str) -> bool:
        from keyring.errors import KeyringError, PasswordDeleteError

        self._seen.pop(name, None)
        try:
            self._ring.delete_password(self._service, name)
        except PasswordDeleteError:
            return name in self._index.read()
        except (KeyringError, OSError) as error:
            raise _refusal(error) from None
        return True

    def names(self) -> dict[str, datetime]:
        return {name: entry.rotated_at for name, entry in self._index.read().items()}

    def problem(self, name: str) -> str | None:
        try:
            if self.get(name) is None:
                return f"{name} is not in the keyring any more; run: nanoclaw secrets set {name}"
        except SecretError as error:
            return str(error)
        return None

    def where(self, name: str) -> str:
        return f"{name} in the keyring"

    def stamp(self) -> tuple[object, ...]:
        return ()

    def _read(self, name: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            return self._ring.get_password(self._service, name)
        except (KeyringError, OSError) as error:
            raise _refusal(error) from None


def _system_ring() -> "Ring":
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        raise SecretError(INSTALL) from None
    ring = keyring.get_keyring()
    if isinstance(ring, fail.Keyring):
        raise SecretError(NO_RING.format(detail="none was found"))
    return ring


def _refusal(error: Exception) -> SecretError:
    """Only the kind of error: some backends put what they were given into its text."""
    return SecretError(NO_RING.format(detail=type(error).__name__))
