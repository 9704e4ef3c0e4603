"""What every place for secrets offers; ``files`` and ``keyring`` are the two that exist."""

from datetime import datetime
from typing import Protocol


class Backend(Protocol):
    """Names are checked by the caller. Every method but ``where`` may raise SecretError."""

    def get(self, name: str) -> str | None:
        """Live: a change counts with the next call."""

    def put(self, name: str, value: str) -> None:
        """All of it or nothing; a reader sees the old value or the new one."""

    def remove(self, name: str) -> bool: ...

    def names(self) -> dict[str, datetime]:
        """Of all secrets, with the time of their last change."""

    def problem(self, name: str) -> str | None:
        """Why it cannot be used, with the command that helps."""

    def where(self, name: str) -> str: ...

    def stamp(self) -> tuple[object, ...]: ...
