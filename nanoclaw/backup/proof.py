"""The last proof that a backup can be restored, and what ``nanoclaw status`` says of backups.

Written by the drill into ``backups/proof.json``; reads names of files only, so that the status
stays fast however many backups there are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.durable import sync_folder
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.paths import HostPaths

FILE = "proof.json"
MAX_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Proof:
    """Which backup was restored and started, when, and how long it took."""

    backup: str
    made_at: str
    proven_at: str
    sessions: int
    seconds: float


def write_proof(folder: Path, proof: Proof) -> None:
    temporary = folder / f"{FILE}.new"
    temporary.write_text(dump(asdict(proof)))
    temporary.rename(folder / FILE)
    sync_folder(folder)


def read_proof(folder: Path) -> Proof | None:
    try:
        value: Mapping[str, Any] = parse_object((folder / FILE).read_text(), max_bytes=MAX_BYTES)
        return Proof(
            str(value["backup"]), str(value["made_at"]), str(value["proven_at"]),
            int(value["sessions"]), float(value["seconds"]),
        )  # fmt: skip
    except (OSError, BadContent, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None


def describe_backups(paths: HostPaths) -> dict[str, object]:
    """A section of the status, plain values."""
    names = sorted(path.name for path in paths.backups.glob("nanoclaw-*.tar.gz"))
    proof = read_proof(paths.backups)
    proven = f"{proof.proven_at} ({proof.backup})" if proof else None
    return {
        "count": len(names),
        "last": names[-1] if names else None,
        "last_proven_restore": proven or "never; run `nanoclaw backup verify FILE --drill`",
    }
