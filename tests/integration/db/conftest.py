import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "central"

Unpack = Callable[[str], Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """A copy of a golden database, with its log file where it has one."""

    def copy(name: str) -> Path:
        target = tmp_path / "data" / "v2.db"
        target.parent.mkdir(mode=0o700, exist_ok=True)
        for suffix in ("", "-wal"):
            packed = GOLDEN / f"{name}.db{suffix}.gz"
            if packed.exists():
                path = target.with_name(target.name + suffix)
                path.write_bytes(gzip.decompress(packed.read_bytes()))
        return target

    return copy


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, object]]:
    """What the earlier program's own first start made of each database."""
    text = gzip.decompress((GOLDEN / "golden.json.gz").read_bytes())
    loaded: dict[str, dict[str, object]] = json.loads(text)
    return loaded
