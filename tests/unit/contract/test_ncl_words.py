import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.ncl_words import SWITCHES, Typed, parse_words

MANY = 24 * 60 * 60


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("groups list", Typed("groups-list", ("groups", "list"))),
        ("a b c d-1", Typed("a-b-c-d-1", ("a", "b", "c", "d-1"))),
        ("groups list --limit 5", Typed("groups-list", ("groups", "list"), {"limit": "5"})),
        ("groups list --limit=5", Typed("groups-list", ("groups", "list"), {"limit": "5"})),
        ("groups list --limit=", Typed("groups-list", ("groups", "list"), {"limit": ""})),
        ("groups list --all", Typed("groups-list", ("groups", "list"), {"all": True})),
        ("a --all --x 1", Typed("a", ("a",), {"all": True, "x": "1"})),
        ("a --x 1 --x 2", Typed("a", ("a",), {"x": "2"})),
        ("a --x=1=2", Typed("a", ("a",), {"x": "1=2"})),
        ("a --x -5", Typed("a", ("a",), {"x": "-5"})),
        ("a --x @file", Typed("a", ("a",), {"x": "@file"})),
        ("a -5", Typed("a--5", ("a", "-5"))),
        ("a -h", Typed("a--h", ("a", "-h"))),
        ("a --Some_Key v", Typed("a", ("a",), {"Some_Key": "v"})),
        ("a -- --b c", Typed("a---b-c", ("a", "--b", "c"))),
        ("a --x -- b", Typed("a-b", ("a", "b"), {"x": True})),
        ("a --no-readonly b", Typed("a-b", ("a", "b"), {"no-readonly": True})),
        ("a --no_readonly b", Typed("a-b", ("a", "b"), {"no_readonly": True})),
        ("a --note b", Typed("a", ("a",), {"note": "b"})),
        ("--limit 5", Typed("", (), {"limit": "5"})),
        ("a --help b", Typed("a-b", ("a", "b"), {"help": True})),
        ("a --dry-run b", Typed("a-b", ("a", "b"), {"dry-run": True})),
        ("a --dry_run b", Typed("a-b", ("a", "b"), {"dry_run": True})),
        ("groups help", Typed("groups-help", ("groups", "help"))),
    ],
)
def test_words_are_taken_apart(line: str, typed: Typed) -> None:
    assert parse_words(line.split()) == typed


@pytest.mark.parametrize("line", ["", "--help", "-h groups", "-h", "--help --json"])
def test_usage_is_for_an_empty_line_and_for_help_in_front(line: str) -> None:
    assert parse_words(line.split()) == Typed(help=True)


@pytest.mark.parametrize("name", sorted(SWITCHES))
@pytest.mark.parametrize("line", ["--{} a b", "a --{} b", "a b --{}"])
def test_option_of_the_client_is_found_anywhere_and_not_sent(name: str, line: str) -> None:
    typed = parse_words(line.format(name).split())

    assert (typed.command, typed.args, typed.problem) == ("a-b", {}, "")
    assert getattr(typed, name) is True


def test_scenario_55_value_may_stand_behind_an_equals_sign() -> None:
    typed = parse_words(["groups", "list", "--limit=5", "--name=--odd"])

    assert typed.args == {"limit": "5", "name": "--odd"}


def test_json_after_a_flag_is_not_its_value() -> None:
    assert parse_words(["a", "--flag", "--json"]) == Typed("a", ("a",), {"flag": True}, json=True)


@pytest.mark.parametrize("line", ["--home /x --timeout 5 a", "a --home=/x --timeout=5"])
def test_values_of_the_client_are_taken_out(line: str) -> None:
    typed = parse_words(line.split())

    assert (typed.command, typed.args) == ("a", {})
    assert (typed.home, typed.seconds) == ("/x", 5.0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a --json=yes", "--json takes no value"),
        ("a --timeout", "--timeout needs a value"),
        ("a --home", "--home needs a value"),
        ("a --timeout soon", "--timeout must be a number of seconds"),
        ("a --timeout 0", "--timeout must be a number of seconds"),
        ("a --timeout nan", "--timeout must be a number of seconds"),
        (f"a --timeout {MANY + 1}", "--timeout must be a number of seconds"),
        ("a --json --csv", "choose one of --json and --csv"),
        ("a --ids --csv --json", "choose one of --json and --csv and --ids"),
        ("a --=x", "a flag needs a name"),
    ],
)
def test_line_that_means_nothing_is_a_problem_in_words(line: str, problem: str) -> None:
    assert problem in parse_words(line.split()).problem


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.text(max_size=6)
        | st.sampled_from(["--", "--json", "--a", "--a=b", "--no-a", "--home", "--timeout", "--="])
    )
)
def test_any_words_are_taken(words: list[str]) -> None:
    typed = parse_words(words)

    assert typed.command == "-".join(typed.positionals)
    assert not SWITCHES & typed.args.keys()
    assert set(typed.positionals) <= set(words)
