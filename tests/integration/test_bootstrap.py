import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose lock file names nothing, so that nothing has to be fetched but pip."""
    root = tmp_path / "checkout"
    (root / "lock").mkdir(parents=True)
    (root / "lock" / "dev.txt").write_text("# nothing\n")
    shutil.copy(bootstrap.__file__, root)
    return root


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A folder of wheels as PIP_FIND_LINKS names it, with the pip that made our own .venv."""
    folder = tmp_path / "links"
    folder.mkdir()
    shutil.copy(bootstrap.VENV / bootstrap.PIP_WHEEL, folder)
    return folder


@pytest.fixture
def run_bootstrap(checkout: Path, tmp_path: Path) -> Run:
    def run(**variables: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
        environment["PIP_CONFIG_FILE"] = os.devnull
        environment |= {name: str(value) for name, value in variables.items()}
        return subprocess.run(
            [sys.executable, str(checkout / "bootstrap.py")],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_environment_is_made_from_a_pip_wheel_alone(
    run_bootstrap: Run, checkout: Path, links: Path
) -> None:
    answer = run_bootstrap(PIP_FIND_LINKS=links)

    assert answer.returncode == 0, answer.stderr
    assert (checkout / ".venv" / "bin" / "python").exists()
    assert os.access(checkout / ".venv" / "bin" / "ncl", os.X_OK)


def test_second_run_does_nothing(run_bootstrap: Run, links: Path) -> None:
    run_bootstrap(PIP_FIND_LINKS=links)
    shutil.rmtree(links)

    answer = run_bootstrap()

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_changed_lock_is_installed(run_bootstrap: Run, checkout: Path, links: Path) -> None:
    run_bootstrap(PIP_FIND_LINKS=links)
    (checkout / "lock" / "dev.txt").write_text("# something else\n")

    answer = run_bootstrap()

    assert answer.returncode == 0
    assert "installing" in answer.stderr


def test_pip_wheel_with_another_hash_is_refused(run_bootstrap: Run, links: Path) -> None:
    (links / bootstrap.PIP_WHEEL).write_bytes(b"something else")

    answer = run_bootstrap(PIP_FIND_LINKS=links)

    assert answer.returncode == 1
    assert "another hash" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("bootstrap: ")


def test_index_page_with_relative_links_is_understood(
    run_bootstrap: Run, links: Path, tmp_path: Path
) -> None:
    page = tmp_path / "index" / "pip" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../links/{bootstrap.PIP_WHEEL}#sha256=0">pip</a>')

    answer = run_bootstrap(PIP_NO_INDEX="", PIP_INDEX_URL=page.parents[1].as_uri())

    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({}, "PIP_NO_INDEX is set", id="no index"),
        pytest.param({"PIP_CERT": "/nowhere.pem"}, "/nowhere.pem does not exist", id="certificate"),
        pytest.param(
            {"PIP_NO_INDEX": "", "PIP_INDEX_URL": "http://me:secret@127.0.0.1:1/simple"},
            "http://127.0.0.1:1/simple/pip/",
            id="index does not answer",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    run_bootstrap: Run, variables: dict[str, str], said: str
) -> None:
    answer = run_bootstrap(**variables)

    assert answer.returncode == 1
    assert said in answer.stderr.splitlines()[-1]
    assert "secret" not in answer.stderr
