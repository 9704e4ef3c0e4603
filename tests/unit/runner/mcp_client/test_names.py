import re

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mcp_client.catalogue import name_servers
from runner.mcp_client.names import MAX_NAME, is_reserved, server_prefix, tool_name

VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def test_plain_names_are_joined() -> None:
    assert tool_name(server_prefix("files"), "read_file") == "mcp__files__read_file"


def test_characters_that_an_api_refuses_become_underscores() -> None:
    assert tool_name(server_prefix("my files"), "read.file/now") == "mcp__my_files__read_file_now"


def test_long_names_are_cut_and_stay_different() -> None:
    prefix = server_prefix("server")

    one, two = tool_name(prefix, "t" * 80 + "1"), tool_name(prefix, "t" * 80 + "2")

    assert len(one) == len(two) == MAX_NAME
    assert one != two


def test_a_second_tool_of_the_same_shape_gets_a_suffix() -> None:
    names = name_servers(["s"])

    assert names.name("s", "a.b") == "mcp__s__a_b"
    assert names.name("s", "a_b") != "mcp__s__a_b"
    assert names.original(names.name("s", "a_b")) == ("s", "a_b")


def test_servers_whose_names_look_alike_have_different_prefixes() -> None:
    names = name_servers(["a b", "a_b", "a.b"])

    assert len(set(names.prefixes.values())) == 3


def test_a_name_belongs_to_the_server_with_the_longest_prefix() -> None:
    names = name_servers(["a", "a__b"])

    assert names.server_of("mcp__a__b__tool") == "a__b"
    assert names.server_of("mcp__a__tool") == "a"
    assert names.server_of("mcp__c__tool") is None


def test_names_that_could_pass_for_ours_are_reserved() -> None:
    assert is_reserved("nanoclaw")
    assert is_reserved("nanoclaw__x")
    assert not is_reserved("nanoclaw2")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["s", "s s", "S" * 90]), st.text(max_size=90))))
def test_every_tool_gets_a_valid_name_of_its_own(tools: list[tuple[str, str]]) -> None:
    names = name_servers({server for server, _ in tools})

    given_names = [names.name(server, tool) for server, tool in dict.fromkeys(tools)]

    assert all(VALID.fullmatch(name) for name in given_names)
    assert len(set(given_names)) == len(given_names)
