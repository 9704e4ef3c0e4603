"""What stands in the first member of a backup: the list of everything that follows.

Written by ``create``, trusted by ``reading`` only as far as the archive's hash and the bounds
here go. JSON, so that a person with ``tar`` and a text editor can read it too.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from contract.jsontext import dump
from nanoclaw.errors import StateError

FORMAT = 1
MANIFEST = "manifest.json"
END = "end.json"
HOME = "home/"
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
MAX_NAMED = 200
"""Files that were left out are named up to here and counted beyond."""


class BackupError(StateError):
    """A backup cannot be made, read or restored; the text names it and the next step."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its name below the home, its size and its hash."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was there and did not come along."""

    name: str
    reason: str


@dataclass(slots=True)
class Manifest:
    """``caps`` are the bounds in force when it was made, ``counts`` how many of each kind."""

    program: str
    schema: int
    slug: str
    home: str
    created_at: str
    with_secrets: bool
    caps: dict[str, int]
    uid: int
    """Whose home it was: those files belong to whoever restores them, all others to whom they
    belonged before."""
    counts: dict[str, int] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0
    format: int = FORMAT

    @property
    def total_bytes(self) -> int:
        return sum(member.size for member in self.members)

    def leave_out(self, name: str, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < MAX_NAMED:
            self.left_out.append(LeftOut(name, reason))

    def to_json(self) -> bytes:
        return dump(asdict(self)).encode()


def read_manifest(value: Mapping[str, Any], source: str) -> Manifest:
    """Raises BackupError for a newer format and for anything that is not a manifest."""
    try:
        found = int(value["format"])
        if found > FORMAT:
            raise BackupError(
                f"{source} has backup format {found}, this program knows {FORMAT}; "
                "use the newer nanoclaw that wrote it"
            )
        return Manifest(
            program=str(value["program"]),
            schema=int(value["schema"]),
            slug=str(value["slug"]),
            home=str(value["home"]),
            created_at=str(value["created_at"]),
            with_secrets=bool(value["with_secrets"]),
            uid=_size(value["uid"]),
            caps={str(key): int(item) for key, item in value["caps"].items()},
            counts={str(key): int(item) for key, item in value["counts"].items()},
            members=[
                Member(checked_name(str(item["name"])), _size(item["size"]), str(item["sha256"]))
                for item in value["members"]
            ],
            left_out=[LeftOut(str(it["name"]), str(it["reason"])) for it in value["left_out"]],
            left_out_count=int(value["left_out_count"]),
            format=found,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupError(f"{source} has no readable manifest ({error}); it is no backup") from None


def checked_name(name: str) -> str:
    """A relative name without steps upwards. Raises BackupError."""
    parts = PurePosixPath(name).parts
    safe = (
        bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name
        and str(PurePosixPath(*parts)) == name
    )  # fmt: skip
    if not safe:
        raise BackupError(f"the backup has a member with the unsafe name {name!r}; it is not ours")
    return name


def _size(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"size {value!r}")
    return value
