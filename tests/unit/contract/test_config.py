import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.config import (
    EFFORTS,
    AdditionalMount,
    DoorConfig,
    McpServer,
    Packages,
    RunnerConfig,
    SessionConfig,
    SessionLimits,
    dump_config,
    parse_runner_config,
    parse_session_config,
)
from contract.errors import BadContent


def test_a_session_config_survives_the_file() -> None:
    config = SessionConfig(
        session_id="sess-1",
        agent_group_id="ag-1",
        lease=7,
        provider="scripted",
        idle_exit_seconds=1.5,
        limits=SessionLimits(file_bytes=5, turn_seconds=60),
        timezone="Europe/Berlin",
        assistant_name="Andy",
        door=DoorConfig(token="t-1"),
    )

    assert parse_session_config(dump_config(config)) == config


def test_defaults_need_only_session_group_and_lease() -> None:
    config = parse_session_config('{"sessionId":"s","agentGroupId":"a","lease":1}')

    assert config == SessionConfig(session_id="s", agent_group_id="a", lease=1)
    assert config.provider == "claude"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"sessionId":"s","agentGroupId":"a"}',
        '{"sessionId":"s","agentGroupId":"a","lease":"7"}',
        '{"sessionId":"s","agentGroupId":"a","lease":7,"contract":2}',
    ],
)
def test_a_broken_session_config_stops_the_start(text: str) -> None:
    with pytest.raises(BadContent):
        parse_session_config(text)


def test_container_json_of_the_reference_is_read() -> None:
    text = json.dumps(
        {
            "mcpServers": {"rss": {"command": "npx", "args": ["some"], "instructions": "read"}},
            "packages": {"apt": ["jq"], "npm": []},
            "imageTag": "nanoclaw-agent:ag-1",
            "additionalMounts": [{"hostPath": "/data", "containerPath": "data"}],
            "skills": ["browser"],
            "provider": "Claude",
            "groupName": "Family",
            "assistantName": "Andy",
            "agentGroupId": "ag-1",
            "maxMessagesPerPrompt": 5,
            "model": "opus",
            "effort": "high",
            "fromTheFuture": 1,
        }
    )

    read = parse_runner_config(text)

    assert read.problems == ()
    assert read.config == RunnerConfig(
        mcp_servers={"rss": McpServer(command="npx", args=("some",))},
        packages=Packages(apt=("jq",)),
        image_tag="nanoclaw-agent:ag-1",
        additional_mounts=(AdditionalMount(host_path="/data", container_path="data"),),
        skills=["browser"],
        provider="claude",
        group_name="Family",
        assistant_name="Andy",
        agent_group_id="ag-1",
        max_messages_per_prompt=5,
        model="opus",
        effort="high",
        extra={"fromTheFuture": 1},
    )


def test_a_runner_config_survives_the_file() -> None:
    config = RunnerConfig(
        provider="scripted",
        script="echo",
        mcp_servers={"a": McpServer(url="http://x", type="http", headers={"K": "v"})},
        native_attachments=False,
        web_tools="off",
        tool_timeouts={"a": 5.0},
        disabled_tools=("bash",),
        max_turn_seconds=60,
        max_cost_per_turn_usd=0.5,
        max_cost_per_day_usd=5.0,
        fallback_model="sonnet",
        compat={"cache": True},
        prices={"m": {"input": 1}},
    )

    assert parse_runner_config(dump_config(config)).config == config


def test_empty_values_count_as_absent_but_zero_idle_seconds_means_never() -> None:
    read = parse_runner_config(
        '{"provider":"","maxMessagesPerPrompt":0,"model":null,"effort":false,"mcpServers":{},'
        '"idleExitSeconds":0}'
    )

    assert read.problems == ()
    assert read.config == RunnerConfig(idle_exit_seconds=0.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not json", "container.json is unusable"),
        ('{"maxMessagesPerPrompt":"ten"}', "maxMessagesPerPrompt has a wrong type"),
        ('{"maxMessagesPerPrompt":2.5}', "maxMessagesPerPrompt has a wrong type"),
        ('{"maxMessagesPerPrompt":true}', "maxMessagesPerPrompt has a wrong type"),
        ('{"maxMessagesPerPrompt":-1}', "maxMessagesPerPrompt is below 1"),
        ('{"maxMessagesPerPrompt":1000000000000000000000}', "maxMessagesPerPrompt is above 1000"),
        ('{"effort":"huge"}', "effort is unknown"),
        ('{"webTools":"maybe"}', "webTools is unknown"),
        ('{"idleExitSeconds":-1}', "idleExitSeconds is below 0"),
        ('{"idleExitSeconds":1e999}', "idleExitSeconds is above"),
        ('{"maxTurnSeconds":"1h"}', "maxTurnSeconds has a wrong type"),
        ('{"maxCostPerDayUsd":-0.5}', "maxCostPerDayUsd is below 0"),
        ('{"maxCostPerTurnUsd":1' + "0" * 400 + "}", "maxCostPerTurnUsd is above"),
        ('{"toolTimeouts":{"rss":"slow"}}', "toolTimeouts has values that are no numbers"),
        ('{"toolTimeouts":{"rss":-1}}', "toolTimeouts has values that are no numbers"),
        ('{"toolTimeouts":[1]}', "toolTimeouts has a wrong type"),
        ('{"disabledTools":"bash"}', "disabledTools has a wrong type"),
        ('{"disabledTools":[5]}', "disabledTools has a wrong type"),
        ('{"nativeAttachments":"no"}', "nativeAttachments has a wrong type"),
        ('{"compat":true}', "compat has a wrong type"),
        ('{"prices":[1]}', "prices has a wrong type"),
        ('{"model":["opus"]}', "model has a wrong type"),
        ('{"fallbackModel":7}', "fallbackModel has a wrong type"),
        ('{"packages":"jq"}', "packages has a wrong type"),
        ('{"skills":"welcome"}', 'skills is neither "all" nor a list'),
        ('{"skills":[1]}', 'skills is neither "all" nor a list'),
        ('{"mcpServers":["rss"]}', "mcpServers is not an object"),
        ('{"mcpServers":{"rss":{}}}', "MCP server rss has neither command nor url"),
        ('{"mcpServers":{"rss":5}}', "MCP server rss has neither command nor url"),
        ('{"mcpServers":{"rss":{"command":""}}}', "MCP server rss has neither command nor url"),
        ('{"mcpServers":{"rss":{"command":"a","args":"b"}}}', "MCP server rss is refused: args"),
        ('{"mcpServers":{"rss":{"command":"a","env":["b"]}}}', "MCP server rss is refused: env"),
        ('{"mcpServers":{"rss":{"url":"ftp://x"}}}', "MCP server rss is refused: its url"),
        (
            '{"mcpServers":{"rss":{"url":"http://x","type":"carrier pigeon"}}}',
            "MCP server rss is refused: its type",
        ),
        ('{"mcpServers":{"":{"command":"a"}}}', "MCP server  is refused: it has no name"),
        (
            '{"mcpServers":{"Nanoclaw":{"command":"evil"}}}',
            "MCP server Nanoclaw is refused: the name belongs to our own tools",
        ),
    ],
)
def test_a_wrong_value_is_named_and_replaced_by_its_default(text: str, problem: str) -> None:
    read = parse_runner_config(text)

    assert len(read.problems) == 1
    assert read.problems[0].startswith(problem)
    assert read.config == RunnerConfig()


def test_several_wrong_values_are_all_named_and_the_right_ones_stay() -> None:
    read = parse_runner_config(
        '{"effort":"huge","model":"opus","maxTurnSeconds":-5,'
        '"mcpServers":{"bad":{},"good":{"command":"run"}}}'
    )

    assert len(read.problems) == 3
    assert read.config == RunnerConfig(model="opus", mcp_servers={"good": McpServer(command="run")})


def test_native_attachments_can_be_switched_off() -> None:
    assert parse_runner_config('{"nativeAttachments":false}').config.native_attachments is False


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("{}", None),
        ('{"skills":"all"}', None),
        ('{"skills":[]}', frozenset()),
        ('{"skills":["welcome"]}', frozenset({"welcome"})),
    ],
)
def test_an_empty_selection_of_skills_is_not_all_of_them(
    text: str, selected: frozenset[str] | None
) -> None:
    read = parse_runner_config(text)

    assert read.problems == ()
    assert read.config.selected_skills == selected


def test_words_are_read_in_any_case() -> None:
    read = parse_runner_config('{"effort":" High ","webTools":"OFF"}')

    assert read.problems == ()
    assert (read.config.effort, read.config.web_tools) == ("high", "off")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            '{"command":"npx","args":["-p",8080],"env":{"PORT":8080,"ON":true},"type":"stdio"}',
            McpServer(command="npx", args=("-p", "8080"), env={"PORT": "8080", "ON": "true"}),
            id="numbers and switches become text",
        ),
        pytest.param(
            '{"url":"https://x/mcp","headers":{"X":"1"}}',
            McpServer(url="https://x/mcp", type="http", headers={"X": "1"}),
            id="an address alone is http",
        ),
        pytest.param(
            '{"url":"https://x/sse","type":"SSE","args":null}',
            McpServer(url="https://x/sse", type="sse"),
            id="null counts as absent",
        ),
        pytest.param(
            '{"command":"a","instructions":"for the host"}',
            McpServer(command="a"),
            id="instructions are not for the process",
        ),
    ],
)
def test_usable_servers_are_read(entry: str, expected: McpServer) -> None:
    read = parse_runner_config('{"mcpServers":{"s":' + entry + "}}")

    assert read.problems == ()
    assert read.config.mcp_servers == {"s": expected}


def test_secrets_do_not_show_in_a_logged_config() -> None:
    session = SessionConfig(
        session_id="s", agent_group_id="a", lease=1, door=DoorConfig(token="tok-secret")
    )
    server = McpServer(command="a", env={"K": "env-secret"}, headers={"H": "head-secret"})

    assert "secret" not in repr(session) + repr(RunnerConfig(mcp_servers={"s": server}))


@given(
    st.dictionaries(
        st.sampled_from(
            ["provider", "model", "effort", "skills", "mcpServers", "webTools", "prices",
             "maxMessagesPerPrompt", "toolTimeouts", "idleExitSeconds", "nativeAttachments"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5) | st.sampled_from(["url", "args", "command"]),
                              inner, max_size=3),
            max_leaves=6,
        ),
    )
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_no_container_file_stops_the_start(value: dict[str, object]) -> None:
    config = parse_runner_config(json.dumps(value)).config

    assert 1 <= config.max_messages_per_prompt <= 1000
    assert config.effort is None or config.effort in EFFORTS
    assert "nanoclaw" not in {name.strip().lower() for name in config.mcp_servers}
