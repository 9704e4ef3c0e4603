"""The wizard on a real pseudo-terminal, with a person's keys."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.setup_pty import WizardOnScreen, program_environment
from helpers.waiting import wait_until

SECRET = "hush-hush-0123456789abcdefgh"
PROGRAM = ["helpers.setup_program"]
Start = Callable[..., WizardOnScreen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    opened: list[WizardOnScreen] = []

    def begin(*words: str, columns: int = 80, **environment: str) -> WizardOnScreen:
        told = program_environment(tmp_path, **environment)
        opened.append(WizardOnScreen([*PROGRAM, *words], told, columns=columns))
        return opened[-1]

    yield begin
    for wizard in opened:
        wizard.close()


def test_a_person_answers_and_everything_is_made(start: Start, tmp_path: Path) -> None:
    wizard = start()
    wizard.sees("3. [to do] Make gamma")
    wizard.sees("Do this now?")
    wizard.types("y")
    wizard.sees("Your name")
    wizard.types("Ada\r")
    wizard.sees("Green - like grass")
    wizard.types("\x1b[B\r")
    wizard.sees("The token")
    wizard.types(f"{SECRET}\r")
    wizard.sees("Make noise")
    wizard.types("n")

    wizard.sees("every step was verified")
    assert wizard.ends_with() == 0
    assert SECRET not in wizard.transcript
    assert (tmp_path / "beta.made").read_text() == "green"


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LANG": "C", "PYTHONIOENCODING": "ascii"}],
    ids=["dumb", "no-color", "ascii"],
)
def test_a_plain_terminal_is_asked_line_by_line(
    start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    wizard = start(**environment)
    wizard.sees("Do this now? [Y/n]")
    wizard.types("\r")
    wizard.sees("Your name:")
    wizard.types("\r")
    wizard.sees("an answer is needed")
    wizard.types("Ada\r")
    wizard.sees("2) Green - like grass")
    wizard.types("2\r")
    wizard.sees("The token (not shown):")
    wizard.types(f"{SECRET}\r")
    wizard.sees("Make noise [y/N]")
    wizard.types("\r")

    wizard.sees("every step was verified")
    assert wizard.ends_with() == 0
    assert "\x1b" not in wizard.transcript
    assert SECRET not in wizard.transcript
    assert (tmp_path / "beta.made").read_text() == "green"


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_ctrl_c_at_a_question_ends_with_130_and_the_next_run_goes_on(
    start: Start, tmp_path: Path, terminal: str
) -> None:
    wizard = start(TERM=terminal)
    wizard.sees("Do this now?")
    wizard.types("y\r" if terminal == "dumb" else "y")
    wizard.sees("Your name")
    wizard.types("\x03")
    wizard.sees("Go on with: nanoclaw setup")
    assert wizard.ends_with() == 130
    assert "(cancelled)" in (tmp_path / "logs" / "setup.log").read_text()

    again = start("--yes", "--name=Ada", NANOCLAW_TOKEN=SECRET)
    again.sees("every step was verified")
    assert again.ends_with() == 0
    assert (tmp_path / "journal").read_text().count("alpha apply") == 1


def test_ctrl_c_in_a_long_step_stops_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behave").mkdir()
    (tmp_path / "behave" / "alpha.wait").touch()
    wizard = start("--yes", "--name=Ada", NANOCLAW_TOKEN=SECRET)
    wait_until((tmp_path / "alpha.waits").exists, within=20)
    wizard.sees("Ctrl-C stops)")
    wizard.resize(40)
    wizard.types("\x03")

    wizard.sees("Stopped;")
    assert wizard.ends_with() == 130


def test_a_later_run_shows_what_is_done_and_offers_to_redo_one_step(
    start: Start, tmp_path: Path
) -> None:
    assert start("--yes", "--name=Ada", NANOCLAW_TOKEN=SECRET).ends_with() == 0
    wizard = start(TERM="dumb")
    wizard.sees("An earlier run has finished: alpha, beta, gamma")
    wizard.sees("3) Do one step again")
    wizard.types("3\r")
    wizard.sees("Which one?")
    wizard.types("1\r")
    wizard.sees("Do this now?")
    wizard.types("y\r")

    assert wizard.ends_with() == 0
    assert (tmp_path / "journal").read_text().count("alpha apply") == 2


def test_a_failed_step_can_be_tried_again(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behave").mkdir()
    fails = tmp_path / "behave" / "alpha.fail"
    fails.touch()
    wizard = start("--only", "alpha", TERM="dumb")
    wizard.sees("Do this now?")
    wizard.types("y\r")
    wizard.sees("What now?")
    fails.unlink()
    wizard.types("1\r")

    wizard.sees("what was not left out was verified")
    assert wizard.ends_with() == 0
