"""The grammar of the words (scenarios 64, 65)."""

from collections.abc import Mapping, Sequence

import pytest
from helpers.setup_program import LOUD, NAME, STEPS, MadeUpStep

from setup.base import Question
from setup.flags import Given, all_flags, help_text, parse

SECRET = "hidden-value-123"


def read(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Given:
    def read_secret(name: str) -> str:
        if name == "missing":
            raise FileNotFoundError(2, "No such file")
        return SECRET

    return parse(words, environment or {}, STEPS, read_secret)


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["--name", "Ada"], {"name": "Ada"}),
        (["--name=Ada"], {"name": "Ada"}),
        (["--name=--Ada"], {"name": "--Ada"}),
        (["--colour", "green"], {"colour": "green"}),
        (["--loud"], {"loud": "true"}),
        (["--no-loud"], {"loud": "false"}),
        (["--loud=YES"], {"loud": "true"}),
        (["--loud=0"], {"loud": "false"}),
        (["--token-file", "f"], {"token": SECRET}),
        (["--step", "beta", "--", "--name=Ada"], {"name": "Ada"}),
        ([], {}),
    ],
)
def test_words_that_are_understood(words: list[str], answers: dict[str, str]) -> None:
    given = read(words)

    assert given.errors == []
    assert given.answers == answers


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--nmae=Ada"], "did you mean --name"),
        (["--name"], "needs a value"),
        (["--name", "--loud"], "needs a value"),
        (["--colour=gren"], "did you mean green"),
        (["--loud=perhaps"], "true or false"),
        (["--no-name"], "unknown flag"),
        (["stray"], "not a flag"),
        (["--token-file=missing"], "cannot read that file"),
        (["--skip=alhpa"], "did you mean alpha"),
        (["--only=a", "--redo=b"], "only one of --only and --redo"),
    ],
)
def test_words_that_are_refused_with_the_next_step(words: list[str], part: str) -> None:
    assert part in "\n".join(read(words).errors)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(read(["--bogus", "--name", "--loud=7", "stray"]).errors) == 4


@pytest.mark.parametrize("words", [[f"--token={SECRET}"], ["--token", SECRET]])
def test_a_secret_as_a_word_is_refused_and_not_repeated(words: list[str]) -> None:
    errors = "\n".join(read(words).errors)

    assert "--token-file" in errors
    assert "NANOCLAW_TOKEN" in errors
    assert SECRET not in errors


def test_a_flag_wins_over_its_variable_and_empty_ones_do_not_count() -> None:
    environment = {"NANOCLAW_NAME": "Eve", "NANOCLAW_COLOUR": "", "NANOCLAW_TOKEN": SECRET}

    assert read(["--name=Ada"], environment).answers == {"name": "Ada", "token": SECRET}
    assert read([], environment).answers["name"] == "Eve"


def test_variables_are_checked_like_flags() -> None:
    assert "NANOCLAW_COLOUR" in read([], {"NANOCLAW_COLOUR": "pink"}).errors[0]


def test_help_names_every_flag_in_eighty_columns() -> None:
    text = help_text(STEPS)

    assert all(f"--{name}" in text for name in all_flags(STEPS))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert read(["--bogus", "-h"]).help


def test_two_questions_cannot_share_a_flag() -> None:
    other = MadeUpStep("omega", questions=(Question("other", NAME.flag, "Other"),))

    with pytest.raises(ValueError, match="--name"):
        all_flags([*STEPS, other])


def test_a_step_of_somebody_else_joins_by_one_line() -> None:
    pigeon = MadeUpStep("channel_pigeon", ("alpha",), (Question("loft", "pigeon-loft", "Loft"),))
    given = parse(["--pigeon-loft=roof", "--loud"], {}, (*STEPS, pigeon), str)

    assert given.answers == {"loft": "roof", LOUD.key: "true"}
    assert "--pigeon-loft" in help_text((*STEPS, pigeon))
