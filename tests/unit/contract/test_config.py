import json

import pytest

from contract.config import (
    AdditionalMount,
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
        door="/session/door/vault.sock",
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
        mcp_servers={"rss": McpServer(command="npx", args=("some",), instructions="read")},
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
        provider="scripted", script="echo", mcp_servers={"a": McpServer(url="http://x")}
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
        ('{"maxMessagesPerPrompt":-1}', "maxMessagesPerPrompt is below 1"),
        ('{"effort":"huge"}', "effort is unknown"),
        ('{"mcpServers":["rss"]}', "mcpServers is not an object"),
        ('{"mcpServers":{"rss":{}}}', "MCP server rss has neither command nor url"),
        ('{"mcpServers":{"rss":5}}', "MCP server rss has neither command nor url"),
    ],
)
def test_a_wrong_value_is_named_and_replaced_by_its_default(text: str, problem: str) -> None:
    read = parse_runner_config(text)

    assert len(read.problems) == 1
    assert read.problems[0].startswith(problem)
    assert read.config.max_messages_per_prompt == 10
    assert read.config.effort is None
    assert read.config.mcp_servers == {}
