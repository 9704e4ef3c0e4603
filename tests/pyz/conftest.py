import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import build_pyz

Run = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_SECONDS = 120


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built nanoclaw.pyz, alone in its folder."""
    path = tmp_path_factory.mktemp("pyz") / "nanoclaw.pyz"
    assert build_pyz.main(["--output", str(path)]) == 0
    return path


@pytest.fixture
def run_file(tmp_path: Path) -> Run:
    """Runs a zipapp in an empty folder, with an empty home and nothing of ours in reach."""
    empty = tmp_path / "empty"
    home = tmp_path / "home"
    scratch = tmp_path / "scratch"
    for folder in (empty, home, scratch):
        folder.mkdir()

    def run(
        archive: Path, *words: str, **variables: str | Path
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(scratch)}
        environment |= {name: str(value) for name, value in variables.items()}
        return subprocess.run(
            [bare_python(), "-I", str(archive), *words],
            cwd=empty, env=environment, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip

    return run


def bare_python() -> str:
    """The interpreter below .venv, so that no package of ours is importable."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
