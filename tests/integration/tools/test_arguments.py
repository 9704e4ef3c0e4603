import asyncio
from pathlib import Path

import pytest
from helpers.desk_session import DeskSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.toolbox.base import ToolCall
from runner.tools.nanoclaw.admin import admin_tool
from runner.tools.nanoclaw.change import change_tools
from runner.tools.nanoclaw.question import question_tool
from runner.tools.nanoclaw.toolset import nanoclaw_tools

TOOLS = (
    "send_message",
    "send_file",
    "edit_message",
    "add_reaction",
    "schedule_task",
    "list_tasks",
    "cancel_task",
    "pause_task",
    "resume_task",
    "update_task",
    "ask_user_question",
    "send_card",
    "create_agent",
    "install_packages",
    "add_mcp_server",
    "ncl",
)

TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from(["family", "2028-01-01", "a.txt", "\ud800"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_all_tools_are_there_in_their_order(session: DeskSession) -> None:
    tools = nanoclaw_tools(session.desk, "UTC")

    assert tuple(tool.spec.name for tool in tools) == TOOLS
    assert {tool.named("mcp__nanoclaw__").spec.name for tool in tools} >= {
        "mcp__nanoclaw__send_message"
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> DeskSession:
    session = DeskSession(tmp_path_factory.mktemp("arguments"))
    (session.paths.workspace / "a.txt").write_text("x")
    for tool in (
        question_tool(session.desk, elsewhere=False, min_seconds=0),
        admin_tool(session.desk, seconds=0.0),
        *change_tools(session.desk, delivery_seconds=0.0),
    ):
        session.tools[tool.spec.name] = tool
    return session


@pytest.mark.parametrize("name", TOOLS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_arguments_of_any_shape_give_a_result_and_no_row_on_error(
    shared: DeskSession, name: str, data: st.DataObject
) -> None:
    schema = shared.tools[name].spec.input_schema
    properties = schema["properties"]
    assert isinstance(properties, dict)
    fields = st.fixed_dictionaries(
        {}, optional={key: JSON for key in properties if key != "timeout"}
    )
    arguments = data.draw(st.one_of(fields, JSON))
    if name == "ask_user_question" and isinstance(arguments, dict):
        arguments["timeout"] = 1e-9
    before = len(shared.rows)

    result = asyncio.run(shared.tools[name].run(arguments, ToolCall("")))

    assert result.text
    if result.is_error and name not in ("ask_user_question", "ncl"):
        assert result.text.startswith("Error: ")
        assert len(shared.rows) == before


def test_file_names_stay_inside_the_outbox(tmp_path: Path) -> None:
    session = DeskSession(tmp_path)
    (session.paths.workspace / "a.txt").write_text("x")

    session.call("send_file", path="a.txt", filename="../../escape")

    assert not (session.paths.out_dir / "escape").exists()
    assert (session.paths.out_files / session.last.id / "escape").exists()
