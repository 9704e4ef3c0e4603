"""The contract's error tree.

    ContractError
    ├── BadContent          JSON text or its shape is not what the contract says
    ├── SchemaMismatch      a session file was written by a newer version
    ├── SessionFileMissing  the session file is not there
    ├── SessionFileBusy     locked, disk full, I/O error: the same call may work later
    ├── SessionFileCorrupt  not a usable database; the session must be set aside
    └── SnapshotError       the host could not take a snapshot of outbound.db
        ├── SnapshotBusy    a writer is committing just now
        ├── SnapshotMissing the runner has not created the file yet
        └── SnapshotRefused the file breaks a rule of the security boundary

Loops look only at ``retryable``. Arguments are positional, so that errors survive pickling.
"""

# ruff: noqa: N818  the names say what happened; "Error" at the end of each would say nothing

from enum import StrEnum


class ContractError(Exception):
    """Root of everything this package raises on purpose."""

    retryable = False


class BadContent(ContractError):
    """Text that is no JSON object, is over a limit, or lacks a required field."""


class SchemaMismatch(ContractError):
    """The file's contract number is higher than ours; nothing was changed."""

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(path, found, supported)
        self.path = path
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"{self.path} has contract version {self.found}, "
            f"this program knows versions up to {self.supported}"
        )


class SessionFileError(ContractError):
    """A session file could not be used; base of the three below."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


class SessionFileMissing(SessionFileError):
    """There is no such file; it is never created by accident."""


class SessionFileBusy(SessionFileError):
    """Nothing was read or written; ``detail`` is SQLite's error name."""

    retryable = True


class SessionFileCorrupt(SessionFileError):
    """The file is malformed; only its own session is affected."""


class SnapshotError(ContractError):
    """The host has no view of ``outbound.db``."""


class SnapshotBusy(SnapshotError):
    """A writer holds the file exclusively; look again after its commit."""

    retryable = True


class SnapshotMissing(SnapshotError):
    """No ``outbound.db`` yet: nothing was written."""


class RefusalReason(StrEnum):
    """Which rule of the boundary the file breaks (design section 3)."""

    NOT_REGULAR = "not_regular"
    LINKED = "linked"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    HOT_JOURNAL = "hot_journal"
    SUPER_JOURNAL = "super_journal"
    CORRUPT = "corrupt"
    BAD_SCHEMA = "bad_schema"
    NEWER_VERSION = "newer_version"
    TOO_EXPENSIVE = "too_expensive"


class SnapshotRefused(SnapshotError):
    """The file is not what a runner writes, or needs a runner to roll it back."""

    def __init__(self, reason: RefusalReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)
