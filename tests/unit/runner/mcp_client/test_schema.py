import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mcp_client.schema import ANYTHING, MAX_CHARS, usable_schema


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def with_property(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": fields}}


def test_an_ordinary_schema_is_declared_as_it_is() -> None:
    schema = {**with_property(type="string", enum=["x"]), "required": ["a"]}

    assert usable_schema(schema) == (schema, "")


def test_a_missing_type_is_added() -> None:
    assert usable_schema({"properties": {}}) == ({"type": "object", "properties": {}}, "")


def test_a_parameter_that_may_be_anything_becomes_an_object() -> None:
    schema = {"type": "object", "properties": {"a": True}}

    assert usable_schema(schema) == ({"type": "object", "properties": {"a": {}}}, "")


def test_a_recursive_schema_is_fine() -> None:
    schema = with_property(**{"$ref": "#"})

    assert usable_schema(schema) == (schema, "")


def test_a_reference_to_a_definition_is_fine() -> None:
    schema = {**with_property(**{"$ref": "#/$defs/x~1y"}), "$defs": {"x/y": {"type": "string"}}}

    assert usable_schema(schema) == (schema, "")


def test_expressions_are_left_out_and_a_property_of_that_name_stays() -> None:
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "(a+)+$"}},
    }

    usable, problem = usable_schema(schema)

    assert usable == {"type": "object", "properties": {"pattern": {"type": "string"}}}
    assert problem == ""


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("text", "not an object"),
        (None, "not an object"),
        ({"type": "array"}, "does not describe an object"),
        ({"type": "object", "oneOf": []}, "combines alternatives"),
        (with_property(type="nonsense"), "not valid JSON Schema"),
        ({"type": "object", "properties": 3}, "not valid JSON Schema"),
        ({"type": "object", "properties": {"a b": {}}}, "unusual names"),
        ({"type": "object", "properties": {"a": False}}, "without a description"),
        (with_property(**{"$ref": "http://127.0.0.1:9/x"}), "refers to something"),
        (with_property(**{"$ref": "#/$defs/none"}), "refers to something"),
        (with_property(**{"$ref": "#anchor"}), "refers to something"),
        (with_property(enum=["x" * MAX_CHARS]), "characters long"),
        (with_property(const="\ud800"), "cannot be written"),
        (nested(60), "cannot be written"),
    ],
)
def test_a_schema_that_an_endpoint_would_refuse_is_replaced(schema: object, problem: str) -> None:
    usable, why = usable_schema(schema)

    assert usable == ANYTHING
    assert problem in why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "$ref", "items", "anyOf", "pattern", "a", "é"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@settings(deadline=None, max_examples=300)
@given(json_values)
def test_whatever_a_server_declares_can_be_sent(value: object) -> None:
    schema, _ = usable_schema(value)

    assert schema["type"] == "object"
    json.dumps(schema, ensure_ascii=False).encode()
