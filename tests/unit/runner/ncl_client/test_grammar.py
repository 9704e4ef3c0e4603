import pytest

from contract.ncl_words import Typed
from runner.ncl_client.grammar import parse_words


def test_words_are_those_of_the_contract() -> None:
    typed = parse_words(["groups", "list", "--limit=5", "--wide"])

    assert typed == Typed("groups-list", ("groups", "list"), {"limit": "5"}, wide=True)


@pytest.mark.parametrize("words", [["--home", "/x"], ["--offline"]])
def test_what_only_the_host_can_do_is_a_problem(words: list[str]) -> None:
    typed = parse_words(["groups", "list", *words])

    assert typed.problem == f"{words[0]} is for the host's own command line"
