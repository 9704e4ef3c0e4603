import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.ncl_words import Typed
from runner.ncl_client.grammar import parse_words


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
        ("a --x -5", Typed("a", ("a",), {"x": "-5"})),
        ("a -5", Typed("a--5", ("a", "-5"))),
        ("a --Some_Key v", Typed("a", ("a",), {"Some_Key": "v"})),
        ("--json a b", Typed("a-b", ("a", "b"), json=True)),
        ("a b --json", Typed("a-b", ("a", "b"), json=True)),
        ("a --flag --json", Typed("a", ("a",), {"flag": True}, json=True)),
        ("a -- --b c", Typed("a---b-c", ("a", "--b", "c"))),
        ("--limit 5", Typed("", (), {"limit": "5"})),
        ("--help", Typed(help=True)),
        ("-h groups", Typed(help=True)),
        ("", Typed(help=True)),
        ("groups help", Typed("groups-help", ("groups", "help"))),
    ],
)
def test_words_are_taken_apart(line: str, typed: Typed) -> None:
    assert parse_words(line.split()) == typed


@given(st.lists(st.text(max_size=6) | st.sampled_from(["--", "--json", "--a", "--a=b"])))
def test_any_words_are_taken(words: list[str]) -> None:
    typed = parse_words(words)

    assert typed.command == "-".join(typed.positionals)
    assert "json" not in typed.args or typed.args["json"] is not True
