"""Flags and their values: N-10, N-54 to N-62, scenario 57."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.admin.arguments import Value
from nanoclaw.admin.problems import InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, Command, Kind, Operation
from nanoclaw.admin.validate import read_arguments

SPECS = (
    ArgumentSpec("id", required=True, missing="group id is required"),
    ArgumentSpec("local_name", nullable=True),
    ArgumentSpec("title"),
    ArgumentSpec("mode", choices=("a", "b")),
    ArgumentSpec("limit", kind=Kind.INTEGER, minimum=1, maximum=10),
    ArgumentSpec("cost", kind=Kind.NUMBER, minimum=0, nullable=True),
    ArgumentSpec("readonly", kind=Kind.BOOLEAN),
    ArgumentSpec("all", kind=Kind.FLAG),
    ArgumentSpec("env", kind=Kind.JSON),
)
COMMAND = Command("x-do", Operation("do", Access.OPEN, "", lambda *_: None, SPECS))


def read(**args: str | bool) -> dict[str, Value]:
    return dict(read_arguments(COMMAND, {"id": "1", **args}).values)


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        ({"limit": "5"}, "limit", 5),
        ({"cost": "0.5"}, "cost", 0.5),
        ({"readonly": "no"}, "readonly", False),
        ({"readonly": True}, "readonly", True),
        ({"no_readonly": True}, "readonly", False),
        ({"all": True}, "all", True),
        ({"no_all": True}, "all", False),
        ({"env": '{"a":"b"}'}, "env", {"a": "b"}),
        ({"local_name": ""}, "local_name", None),
        ({"null": "local-name"}, "local_name", None),
        ({"null": "cost,local_name"}, "cost", None),
        ({"title": "@path"}, "title", "@path"),
        ({"title": "-5"}, "title", "-5"),
    ],
)
def test_value_is_read_as_its_kind(args: dict[str, str | bool], name: str, value: Value) -> None:
    assert read(**args)[name] == value


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"limit": "x"}, "--limit must be an integer from 1 to 10"),
        ({"limit": "0"}, "from 1 to 10"),
        ({"limit": "9" * 5000}, "--limit must be an integer"),
        ({"cost": "nan"}, "--cost must be a number of at least 0"),
        ({"cost": "1e300"}, "--cost must be a number"),
        ({"readonly": "perhaps"}, "--readonly must be true or false"),
        ({"env": "{"}, "--env is no usable JSON"),
        ({"env": "[" * 100_000}, "--env"),
        ({"mode": "c"}, "--mode must be one of: a, b"),
        ({"title": True}, "--title needs a value"),
        ({"title": ""}, "--title cannot be empty"),
        ({"title": "a\0b"}, "--title has a character that cannot be stored"),
        ({"title": "\ud800"}, "--title has a character that cannot be stored"),
        ({"title": "x" * 70_000}, "--title is longer than"),
        ({"titel": "x"}, "unknown flag --titel; did you mean --title?"),
        ({"limit=5": True}, "unknown flag --limit=5; did you mean --limit?"),
        ({"null": "title"}, "--null title: only --local-name, --cost can be emptied"),
        ({"null": True}, "--null needs names"),
        ({"null": "cost", "cost": "1"}, "--cost has a value and is emptied"),
        ({"all": True, "no_all": True}, "--all and its opposite are both given"),
        ({"no_title": True}, "unknown flag --no-title"),
    ],
)
def test_scenario_57_what_makes_no_sense_is_refused(
    args: dict[str, str | bool], words: str
) -> None:
    with pytest.raises(InvalidArgsError) as caught:
        read(**args)

    assert words in str(caught.value)


@pytest.mark.parametrize("args", [{}, {"id": ""}])
def test_missing_flag_has_the_text_of_its_command(args: dict[str, str | bool]) -> None:
    with pytest.raises(InvalidArgsError, match=r"^group id is required$"):
        read_arguments(COMMAND, args)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*(spec.name for spec in SPECS), "null", "no_all", "x-y", ""]),
        st.one_of(st.booleans(), st.text(max_size=20)),
    )
)
def test_any_flags_are_read_or_refused_and_nothing_else(args: dict[str, str | bool]) -> None:
    try:
        read = read_arguments(COMMAND, args)
    except InvalidArgsError:
        return
    assert set(read.values) <= {spec.name for spec in SPECS}
    assert read.text("id")
