import pytest
from helpers.desk_session import DeskSession

from contract.address import NOWHERE


def test_agent_is_asked_for_without_an_address(session: DeskSession) -> None:
    result = session.call("create_agent", name=" Researcher ")

    assert session.content() == {
        "action": "create_agent",
        "requestId": session.last.id,
        "name": "Researcher",
        "instructions": None,
    }
    assert session.last.id.startswith("msg-")
    assert (session.last.kind, session.last.address) == ("system", NOWHERE)
    assert "a message follows" in result.text


def test_packages_are_asked_for_once_each_and_normalised(session: DeskSession) -> None:
    result = session.call(
        "install_packages",
        apt=["ffmpeg", "ffmpeg", "g++"],
        npm=["@scope/a.b", "c"],
        pip=["Zope.Interface"],
        reason="audio",
    )

    assert session.content() == {
        "action": "install_packages",
        "apt": ["ffmpeg", "g++"],
        "npm": ["@scope/a.b", "c"],
        "pip": ["zope-interface"],
        "reason": "audio",
    }
    assert "5 package(s) requested" in result.text


def test_server_is_asked_for_with_empty_lists_written_out(session: DeskSession) -> None:
    session.call("add_mcp_server", name="rss", command="npx")

    assert session.content() == {
        "action": "add_mcp_server",
        "name": "rss",
        "command": "npx",
        "args": [],
        "env": {},
    }


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("create_agent", {}, "'name' is required"),
        ("create_agent", {"name": "x", "instructions": 1}, "'instructions' must be a text"),
        ("install_packages", {}, "at least one and at most 20"),
        ("install_packages", {"apt": "ffmpeg"}, "'apt' must be an array"),
        ("install_packages", {"apt": [1]}, "'apt' must be an array of texts"),
        ("install_packages", {"apt": [f"p{n}" for n in range(21)]}, "at most 20"),
        ("install_packages", {"apt": ["ok", "Bad"]}, "'Bad' in 'apt'"),
        ("install_packages", {"apt": ["a=1.0"]}, "'a=1.0' in 'apt'"),
        ("install_packages", {"apt": ["a\n"]}, "in 'apt' is not a package name"),
        ("install_packages", {"npm": ["@a/@b"]}, "'@a/@b' in 'npm'"),
        ("install_packages", {"npm": ["../x"]}, "'../x' in 'npm'"),
        ("install_packages", {"pip": ["-r"]}, "'-r' in 'pip'"),
        ("add_mcp_server", {"name": "rss"}, "'command' is required"),
        ("add_mcp_server", {"name": "NanoClaw", "command": "x"}, "not be 'nanoclaw'"),
        ("add_mcp_server", {"name": "a b", "command": "x"}, "'name' must have"),
        ("add_mcp_server", {"name": "a", "command": "x", "args": [1]}, "array of texts"),
        ("add_mcp_server", {"name": "a", "command": "x", "env": {"K": 1}}, "values are texts"),
    ],
)
def test_request_that_the_host_would_refuse_leaves_no_row(
    session: DeskSession, tool: str, arguments: dict[str, object], words: str
) -> None:
    result = session.call(tool, **arguments)

    assert result.is_error
    assert words in result.text
    assert not session.rows
