"""``nanoclaw extras``: libraries on demand, exactly the pinned ones, whole or not at all."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.kill_points import ROOT

from nanoclaw.cli import extras
from nanoclaw.cli.commands import build_parser
from nanoclaw.cli.extras import ExtraError
from nanoclaw.config import HostConfig

MODULE = "tiny_extra_of_a_test"


def wheel(folder: Path, content: str = "VALUE = 1\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{MODULE}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{MODULE}/__init__.py", content)
        info = f"{MODULE}-1.0.dist-info"
        packed.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1.0\n"
        )
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                        "Tag: py3-none-any\n")  # fmt: skip
        packed.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostConfig:
    """An index of one library, which the extra consists of."""
    made = wheel(tmp_path / "index")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    lock = tmp_path / "lock" / "intercept.txt"
    lock.parent.mkdir()
    lock.write_text(f"{MODULE}==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    monkeypatch.setitem(extras.TRIED, "intercept", MODULE)
    return HostConfig(tmp_path / "home")


def run(config: HostConfig, *words: str) -> int:
    return extras.main(build_parser().parse_args(["extras", *words]), config)


def state(config: HostConfig, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(config, "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    return str(row["state"])


def test_extra_is_fetched_tried_listed_and_removed(
    config: HostConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert state(config, capsys) == "not there"

    assert run(config, "add", "intercept") == 0

    assert (config.paths.extras("intercept") / MODULE).is_dir()
    assert state(config, capsys) == "there"
    assert (config.paths.authority / "ca.pem").is_file()
    assert run(config, "remove", "intercept") == 0
    assert state(config, capsys) == "not there"
    assert list(config.paths.extras("intercept").parent.iterdir()) == []
    with pytest.raises(ExtraError, match="extras list"):
        run(config, "remove", "intercept")


def test_library_with_another_hash_is_not_taken(config: HostConfig, tmp_path: Path) -> None:
    wheel(tmp_path / "index", "VALUE = 2\n")

    with pytest.raises(ExtraError, match=r"(?s)HASHES.*python3-cryptography"):
        run(config, "add", "intercept")

    assert list(config.paths.extras("intercept").parent.iterdir()) == []


def test_library_that_does_not_work_here_leaves_the_old_one(
    config: HostConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config, "add", "intercept")
    monkeypatch.setitem(extras.TRIED, "intercept", f"{MODULE}.nothing")

    with pytest.raises(ExtraError, match="does not work here"):
        run(config, "add", "intercept")

    assert (config.paths.extras("intercept") / MODULE).is_dir()


def test_library_of_this_python_is_enough(
    config: HostConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(extras.TRIED, "intercept", "json")

    assert run(config, "add", "intercept") == 0

    assert "there already" in capsys.readouterr().out
    assert not config.paths.extras("intercept").exists()


def test_pinned_versions_are_those_that_the_tests_run_with() -> None:
    pinned = (ROOT / "lock" / "intercept.txt").read_text().splitlines()
    tested = (ROOT / "lock" / "dev.txt").read_text().splitlines()

    assert {line.split("==")[0] for line in pinned if "==" in line} == {
        "cryptography", "cffi", "pycparser",
    }  # fmt: skip
    kept = [line for line in pinned if not line.strip().startswith("#")]
    assert [line for line in kept if line.rstrip(" \\") not in {
        other.rstrip(" \\") for other in tested
    }] == []  # fmt: skip


def test_folder_of_the_extra_comes_last_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise ImportError")
    code = (
        "import sys; from pathlib import Path; from nanoclaw.vault import library;"
        "library.MODULE = 'tiny'; folder = Path(sys.argv[1]);"
        "(folder / 'tiny.py').write_text('import json'); print(library.problem(folder))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == "None", done.stderr
