import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.toolbox.schema import problem_of

SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "line": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "required": ["x"],
            },
        },
    },
    "required": ["path"],
}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "path is missing"),
        ({"path": 1}, "path must be of type string"),
        ({"path": "x", "line": "2"}, "line must be of type integer"),
        ({"path": "x", "line": True}, "line must be of type integer"),
        ({"path": "x", "line": 0}, "line must be at least 1"),
        ({"path": "x", "line": 10}, "line must be at most 9"),
        ({"path": "x", "mode": "c"}, "mode must be one of 'a', 'b'"),
        ({"path": "x", "items": [{"x": True}, {}]}, "items[1].x is missing"),
        ([], "the arguments must be of type object"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(arguments: object, named: str) -> None:
    assert problem_of(arguments, SCHEMA) == named


def test_unknown_fields_and_whole_floats_pass() -> None:
    assert problem_of({"path": "x", "line": 2.0, "more": object()}, SCHEMA) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, JSON)
@settings(deadline=None, max_examples=200)
def test_no_value_and_no_schema_makes_it_crash(value: object, schema: object) -> None:
    assert isinstance(problem_of(value, schema if isinstance(schema, dict) else {}), str)
