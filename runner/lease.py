"""Our right to work on this session, read back before every write.

The host raises the token in ``session.json`` whenever it starts another container. The store
asks inside its write transaction, so a runner that was only slow cannot settle rows that belong
to its successor: the successor's first transaction waits for ours or ours sees the new token.
"""

from pathlib import Path

from contract.config import MAX_CONFIG_BYTES, parse_session_config
from contract.errors import BadContent
from runner.errors import FencedOffError

_Stamp = tuple[int, int, int]


class Lease:
    """Reads the file again only when it was replaced or rewritten."""

    def __init__(self, path: Path, token: int) -> None:
        self._path = path
        self.token = token
        self._seen: _Stamp | None = None

    def check(self) -> None:
        """Raises FencedOffError unless the file still carries our token."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._seen:
                return
            found = parse_session_config(self._read()).lease
        except (OSError, UnicodeDecodeError, BadContent) as error:
            raise FencedOffError(f"session.json cannot be read any more: {error}") from error
        if found != self.token:
            raise FencedOffError(f"the lease is now {found}, ours was {self.token}")
        self._seen = stamp

    def _read(self) -> str:
        with self._path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1).decode()


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
