"""Completion in a real bash: what it offers for words before the cursor."""

import subprocess
from pathlib import Path

import pytest
from helpers.ncl_program import run_ncl

from nanoclaw.cli.completion import render_completion
from nanoclaw.cli.ncl_outline import read_outline

ASK = """
source "$1"
shift
COMP_WORDS=(ncl "$@")
COMP_CWORD=$#
_ncl
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "ncl"
    path.write_text(render_completion("bash", read_outline()))
    return path


def offered(script: Path, *words: str) -> list[str]:
    result = subprocess.run(
        ["bash", "--norc", "-u", "-c", ASK, "bash", str(script), *words],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert not result.stderr
    return result.stdout.split()


def test_resources_and_general_commands_come_first(script: Path) -> None:
    found = offered(script, "")

    assert {"groups", "messaging-groups", "wirings", "help", "completion"} <= set(found)
    assert offered(script, "messa")[0].startswith("messa")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["groups", ""], {"list", "get", "config", "restart"}),
        (["groups", "config", ""], {"get", "update", "add-mcp-server"}),
        (["groups", "config", "rem"], {"remove-mount", "remove-package", "remove-mcp-server"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["groups", "list", "--"], {"--limit", "--order", "--json", "--ids"}),
        (["groups", "delete", "ag-1", "--"], {"--cascade", "--dry-run", "--yes"}),
        (["--json", "groups", "list", "--lim"], {"--limit"}),
        (["wirings", "create", "--engage-mode", ""], {"pattern", "mention", "mention-sticky"}),
        (["wirings", "create", "--engage-mode", "mention", "--sender-sc"], {"--sender-scope"}),
        (["groups", "--timeout", "5", ""], {"list", "get"}),
        (["groups", "--yes", ""], {"list", "delete"}),
        (["groups", "--timeout=5", "l"], {"list"}),
    ],
)
def test_words_so_far_decide_what_is_offered(
    script: Path, words: list[str], wanted: set[str]
) -> None:
    assert wanted <= set(offered(script, *words))


@pytest.mark.parametrize(
    "words", [["groups", "list", "x"], ["nonsense", ""], ["groups", "list", "--limit", ""]]
)
def test_what_is_not_known_is_not_guessed(script: Path, words: list[str]) -> None:
    assert offered(script, *words) == []


def test_program_prints_the_script_without_a_host(script: Path, tmp_path: Path) -> None:
    result = run_ncl("completion", "bash", home=tmp_path)

    assert result.returncode == 0
    assert result.stdout == script.read_text()
    assert list(tmp_path.iterdir()) == []


def test_program_prints_its_manual_without_a_host(tmp_path: Path) -> None:
    result = run_ncl("man", home=tmp_path)

    assert result.returncode == 0
    assert result.stdout.startswith(".TH NCL 1 ")
