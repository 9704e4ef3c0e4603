from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mcp_client.listing import (
    MAX_DESCRIPTION,
    MAX_TOOLS,
    ONE_LINE,
    ServerTool,
    cut,
    keep_usable,
    read_tool,
)
from runner.mcp_client.schema import ANYTHING


def tool(name: object = "t", **fields: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **fields}


def bare(page: dict[str, object]) -> list[dict[str, Any]]:
    """The kept tools without our own notes."""
    tools = page["tools"]
    assert isinstance(tools, list)
    return [{key: item[key] for key in item if key != "_meta"} for item in tools]


def from_server(**fields: Any) -> ServerTool:
    """As it arrives at the end."""
    page, _ = keep_usable({"tools": [tool(**fields)]})
    tools = page["tools"]
    assert isinstance(tools, list)
    return read_tool(tools[0])


def test_one_malformed_tool_costs_only_itself() -> None:
    page, left_out = keep_usable({"tools": ["x", {"name": 3}, tool("good"), tool("n" * 300)]})

    assert bare(page) == [tool("good")]
    assert left_out == 3


def test_a_page_without_a_list_has_no_tools() -> None:
    assert keep_usable({"tools": "many"}) == ({"tools": []}, 0)


def test_too_many_tools_are_cut_and_no_further_page_is_asked_for() -> None:
    many = [tool(f"t{number}") for number in range(MAX_TOOLS + 7)]

    page, left_out = keep_usable({"tools": many, "nextCursor": "more"})

    assert len(bare(page)) == MAX_TOOLS
    assert left_out == 7
    assert "nextCursor" not in page


def test_fields_that_are_not_used_are_dropped_before_they_can_do_harm() -> None:
    page, _ = keep_usable(
        {"tools": [tool(outputSchema=3, icons="x", annotations={"readOnlyHint": "yes"})]}
    )

    assert bare(page) == [tool(annotations={})]


def test_a_schema_that_is_no_object_is_forgiven() -> None:
    page, left_out = keep_usable({"tools": [tool(inputSchema="text")]})

    assert bare(page) == [tool(inputSchema=dict(ANYTHING))]
    assert left_out == 0


def test_descriptions_lose_control_characters_and_are_cut() -> None:
    item = from_server(description="a\x00b\x1b" + "c" * 100_000)

    assert item.full_description.startswith("abc")
    assert len(item.description) == MAX_DESCRIPTION
    assert len(item.one_line) == ONE_LINE


def test_hints_are_believed_only_when_they_are_true() -> None:
    reading = from_server(annotations={"readOnlyHint": True})
    repeatable = from_server(annotations={"idempotentHint": True})

    assert (reading.read_only, reading.repeatable) == (True, True)
    assert (repeatable.read_only, repeatable.repeatable) == (False, True)
    assert not from_server().read_only


def test_a_replaced_schema_is_told_in_the_description() -> None:
    item = from_server(inputSchema={"type": "object", "anyOf": [{"required": ["colour"]}]})

    assert "combines alternatives" in item.description
    assert "colour" in item.description


def test_a_tool_without_description_says_so() -> None:
    assert from_server().description


def test_cut_keeps_within_the_limit() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["tools", "nextCursor", "x"]),
        st.lists(st.dictionaries(st.sampled_from(["name", "inputSchema", "title"]), st.text())),
    )
)
def test_any_answer_is_read_without_failing(answer: dict[str, Any]) -> None:
    page, _ = keep_usable(answer)

    for item in page["tools"]:  # type: ignore[attr-defined]
        assert read_tool(item).name
