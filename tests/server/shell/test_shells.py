"""Completion in a real zsh and a real fish, and the manual page in a real groff and man.

Asked for with ``--server``; what is missing on the machine is a failure that names the package.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.channel_pty import PtyProgram
from helpers.waiting import wait_until

from nanoclaw.cli.completion import render_completion
from nanoclaw.cli.manpage import render_page
from nanoclaw.cli.ncl_outline import read_outline

ASKED = [
    (["groups", ""], {"list", "get", "config", "restart"}),
    (["groups", "config", ""], {"get", "update", "add-mcp-server"}),
    (["groups", "list", "--"], {"--limit", "--order", "--json", "--ids"}),
    (["groups", "delete", "ag-1", "--"], {"--cascade", "--dry-run", "--yes"}),
    (["wirings", "create", "--engage-mode", ""], {"pattern", "mention", "mention-sticky"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["groups", "--yes", ""], {"list", "delete"}),
]


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"--server was given, but there is no {name}; install {package}", pytrace=False)
    return found


def output(*words: str, given: str = "", folder: Path | None = None) -> str:
    result = subprocess.run(
        list(words),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for shell, name in (("bash", "ncl.bash"), ("zsh", "ncl.zsh"), ("fish", "ncl.fish")):
        (folder / name).write_text(render_completion(shell, read_outline()))
    return folder


ZSH_ASK = """
autoload -Uz compinit && compinit -u -D
source ./ncl.zsh
print -r -- "$_comps[ncl]"
__ncl_candidates "$@"
"""


@pytest.mark.parametrize(("words", "wanted"), ASKED)
def test_zsh_offers_what_may_follow(scripts: Path, words: list[str], wanted: set[str]) -> None:
    text = output(program("zsh", "zsh"), "-f", "-c", ZSH_ASK, "zsh", *words, folder=scripts)

    lines = text.splitlines()
    assert lines[0] == "_ncl"
    assert wanted <= {line.partition("\t")[0] for line in lines[1:]}


def test_zsh_completes_at_its_prompt(scripts: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(scripts), "TERM": "xterm"}
    shell = PtyProgram([program("zsh", "zsh"), "-f", "-i"], environment, scripts)
    try:
        shell.type("PS1='re''ady> '\n")
        shell.wait_for("ready> ")
        shell.type(f"autoload -Uz compinit && compinit -u -D && source {scripts}/ncl.zsh\n")
        shell.type("print c$((6 * 7))\n")
        shell.wait_for("c42")
        wait_until(lambda: shell.screen_text.rpartition("c42")[2].endswith("ready> "))
        shell.type("ncl groups config add-mc\t")
        shell.wait_for("add-mcp-server")
        shell.type("\x15ncl groups \t\t")
        shell.wait_for("restart")
        shell.type("\x15exit\n")

        assert shell.wait() == 0
    finally:
        shell.close()


@pytest.mark.parametrize(("words", "wanted"), ASKED)
def test_fish_offers_what_may_follow(
    scripts: Path, tmp_path: Path, words: list[str], wanted: set[str]
) -> None:
    line = " ".join(["ncl", *words])
    script = f"source {scripts}/ncl.fish; complete -C {line!r}"
    fish = program("fish", "fish")
    home = f"HOME={tmp_path}"

    text = output("env", home, fish, "--private", "--no-config", "-c", script)

    assert wanted <= {found.partition("\t")[0] for found in text.splitlines()}


@pytest.mark.parametrize(
    ("shell", "name"), [("bash", "ncl.bash"), ("zsh", "ncl.zsh"), ("fish", "ncl.fish")]
)
def test_script_has_no_syntax_error(scripts: Path, shell: str, name: str) -> None:
    output(program(shell, shell), "-n", str(scripts / name))


def test_groff_has_no_complaint_about_the_manual_page() -> None:
    groff = program("groff", "groff-base")

    shown = output(groff, "-man", "-Tutf8", "-ww", "-P-cbou", given=render_page(read_outline()))

    assert "ncl - administer a running nanoclaw" in shown
    assert "ncl groups config add-mcp-server" in shown


def test_man_shows_the_page(tmp_path: Path) -> None:
    page = tmp_path / "ncl.1"
    page.write_text(render_page(read_outline()))

    shown = output(program("man", "man-db"), "--warnings", "-l", str(page))

    assert "EXIT STATUS" in shown
