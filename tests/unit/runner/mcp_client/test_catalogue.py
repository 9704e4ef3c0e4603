from runner.mcp_client.catalogue import (
    CALL,
    MAX_LISTED_CHARS,
    MAX_TOOLS,
    Offer,
    call_spec,
    declared,
    describe_spec,
    is_too_much,
    name_servers,
)
from runner.mcp_client.listing import ServerTool


def tool(name: str, description: str = "Does it.", schema_chars: int = 0) -> ServerTool:
    schema: dict[str, object] = {"type": "object"}
    if schema_chars:
        schema["description"] = "x" * schema_chars
    return ServerTool(name, description, schema, "{}")


def test_tools_are_declared_by_server_and_in_the_servers_order() -> None:
    offers = [Offer("z", (tool("b"), tool("a"))), Offer("y", (tool("c"),))]

    specs = declared(offers, name_servers(["z", "y"]))

    assert [spec.name for spec in specs] == ["mcp__y__c", "mcp__z__b", "mcp__z__a"]


def test_read_only_tools_are_declared_as_such() -> None:
    offers = [Offer("s", (ServerTool("t", "d", {}, "{}", read_only=True), tool("u")))]

    assert [spec.read_only for spec in declared(offers, name_servers(["s"]))] == [True, False]


def test_many_tools_are_too_much() -> None:
    assert not is_too_much([Offer("s", tuple(tool(f"t{n}") for n in range(MAX_TOOLS)))])
    assert is_too_much([Offer("s", tuple(tool(f"t{n}") for n in range(MAX_TOOLS + 1)))])


def test_few_tools_with_large_schemas_are_too_much() -> None:
    assert is_too_much([Offer("s", tuple(tool(f"t{n}", schema_chars=11_000) for n in range(10)))])


def test_the_call_tool_is_the_same_whatever_the_servers_offer() -> None:
    assert call_spec(["b", "a"]) == call_spec(["a", "b"])
    assert call_spec(["a"]).name == CALL
    assert "a" in call_spec(["a"]).description


def test_tools_that_are_only_listed_have_a_line_each() -> None:
    spec = describe_spec([Offer("s", (tool("one", "First.\nMore."), tool("two")))])

    assert "s: one - First. More." in spec.description
    assert "s: two - Does it." in spec.description


def test_the_list_is_bounded_and_still_names_every_server() -> None:
    offers = [
        Offer(f"server{number}", tuple(tool(f"tool_{n}", "d" * 100) for n in range(500)))
        for number in range(10)
    ]

    text = describe_spec(offers).description

    assert len(text) < MAX_LISTED_CHARS + 1000
    assert all(f"server{number} (500 tools)" in text for number in range(10))
