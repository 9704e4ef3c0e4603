"""``ncl --offline``: the database is read when no host answers, and never written."""

import json
from pathlib import Path

import pytest
from helpers.ncl_program import run_ncl
from helpers.ncl_server import NclServer, data
from helpers.ncl_town import build_town

NOTE = "ncl: the host is down; this is what "


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_town(tmp_path_factory.mktemp("town") / "home").home


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("groups list --ids", "ag-andy\nag-bert\n"),
        ("users list --kind telegram --ids", "telegram:1\ntelegram:2\n"),
        ("sessions list --status closed", "(no rows)\n"),
    ],
)
def test_rows_are_read_without_a_host(home: Path, line: str, text: str) -> None:
    result = run_ncl("--offline", *line.split(), home=home)

    assert (result.returncode, result.stdout) == (0, text)
    assert result.stderr.startswith(NOTE)


@pytest.mark.parametrize(
    "line", ["groups get ag-andy", "groups config get ag-andy", "tasks show plants", "help groups"]
)
def test_single_rows_and_help_are_read_without_a_host(home: Path, line: str) -> None:
    result = run_ncl(*line.split(), "--offline", "--json", home=home)

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ok"] is True


@pytest.mark.parametrize(
    "line",
    ["groups update ag-andy --name x", "groups delete ag-andy --yes", "ping", "audit verify"],
)
def test_everything_else_needs_the_host(home: Path, line: str) -> None:
    before = (home / "data" / "v2.db").read_bytes()

    result = run_ncl("--offline", *line.split(), home=home)

    assert (result.returncode, result.stdout) == (2, "")
    assert "this needs the running host" in result.stderr
    assert (home / "data" / "v2.db").read_bytes() == before


def test_row_that_is_not_there_is_the_same_error_as_with_a_host(home: Path) -> None:
    result = run_ncl("--offline", "groups", "get", "ag-7", home=home)

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error (not-found): group not found: ag-7"


def test_unknown_command_is_one(home: Path) -> None:
    result = run_ncl("--offline", "groups", "lst", home=home)

    assert result.returncode == 1
    assert "did you mean groups list?" in result.stderr


def test_home_without_a_database_is_told(tmp_path: Path) -> None:
    result = run_ncl("--offline", "groups", "list", home=tmp_path)

    assert result.returncode == 1
    assert "there is no database at" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_read_are_an_answer_too(tmp_path: Path) -> None:
    home = build_town(tmp_path / "home").home
    (home / "config.toml").write_text("no toml")

    said = run_ncl("--offline", "groups", "list", home=home)
    framed = run_ncl("--offline", "groups", "list", "--json", home=home)

    assert said.returncode == framed.returncode == 2
    assert "is not valid TOML" in said.stderr
    assert "is not valid TOML" in json.loads(framed.stdout)["error"]["message"]


def test_host_that_runs_is_asked(tmp_path: Path) -> None:
    with NclServer(tmp_path, data([{"id": "from the host"}])):
        result = run_ncl("--offline", "groups", "list", "--ids", home=tmp_path)

    assert (result.returncode, result.stdout, result.stderr) == (0, "from the host\n", "")
