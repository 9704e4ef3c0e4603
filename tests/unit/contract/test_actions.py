import json

import pytest

from contract.actions import (
    AddMcpServer,
    CancelTask,
    CliRequest,
    CreateAgent,
    InstallPackages,
    PauseTask,
    ResumeTask,
    ScheduleTask,
    UnknownAction,
    UpdateTask,
)
from contract.content import dump, parse_outbound
from contract.errors import BadContent
from contract.shape import UNSET, Shape

ACTIONS = [
    pytest.param(
        '{"action":"schedule_task","taskId":"task-1","prompt":"p","script":null,'
        '"processAfter":"2026-03-10T08:00:00.000Z","recurrence":"0 9 * * 1-5",'
        '"platformId":"telegram:1","channelType":"telegram","threadId":null}',
        ScheduleTask(
            task_id="task-1",
            prompt="p",
            script=None,
            process_after="2026-03-10T08:00:00.000Z",
            recurrence="0 9 * * 1-5",
            platform_id="telegram:1",
            channel_type="telegram",
            thread_id=None,
        ),
        id="schedule",
    ),
    pytest.param('{"action":"cancel_task","taskId":"t"}', CancelTask(task_id="t"), id="cancel"),
    pytest.param('{"action":"pause_task","taskId":"t"}', PauseTask(task_id="t"), id="pause"),
    pytest.param('{"action":"resume_task","taskId":"t"}', ResumeTask(task_id="t"), id="resume"),
    pytest.param(
        '{"action":"update_task","taskId":"t","recurrence":null}',
        UpdateTask(task_id="t", recurrence=None),
        id="update",
    ),
    pytest.param(
        '{"action":"create_agent","requestId":"r","name":"Researcher","instructions":null}',
        CreateAgent(request_id="r", name="Researcher", instructions=None),
        id="create",
    ),
    pytest.param(
        '{"action":"install_packages","apt":["ffmpeg"],"npm":[],"reason":"audio"}',
        InstallPackages(apt=("ffmpeg",), npm=(), reason="audio"),
        id="install",
    ),
    pytest.param(
        '{"action":"add_mcp_server","name":"rss","command":"npx","args":["some"],"env":{"A":"b"}}',
        AddMcpServer(name="rss", command="npx", args=("some",), env={"A": "b"}),
        id="add",
    ),
    pytest.param(
        '{"action":"cli_request","requestId":"r","command":"groups-list","args":{"all":true}}',
        CliRequest(request_id="r", command="groups-list", args={"all": True}),
        id="cli",
    ),
    pytest.param(
        '{"action":"dance","style":"tango"}',
        UnknownAction(action="dance", extra={"style": "tango"}),
        id="unknown",
    ),
]


@pytest.mark.parametrize(("text", "action"), ACTIONS)
def test_actions_are_read_and_written_back_with_every_key(text: str, action: Shape) -> None:
    assert parse_outbound("system", text) == action
    assert json.loads(dump(action)) == json.loads(text)


def test_an_update_tells_not_given_from_cleared() -> None:
    update = parse_outbound("system", '{"action":"update_task","taskId":"t","script":null}')

    assert isinstance(update, UpdateTask)
    assert update.script is None
    assert update.recurrence is UNSET
    assert update.prompt is UNSET


def test_an_update_with_a_wrong_type_changes_nothing_there() -> None:
    update = parse_outbound("system", '{"action":"update_task","taskId":"t","prompt":null}')

    assert isinstance(update, UpdateTask)
    assert update.prompt is UNSET


def test_a_field_that_may_be_null_is_null_when_it_has_a_wrong_type() -> None:
    text = '{"action":"create_agent","requestId":"r","name":"n","instructions":5}'

    create = parse_outbound("system", text)

    assert create == CreateAgent(
        request_id="r", name="n", instructions=None, extra={"instructions": 5}
    )


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"action":5}',
        '{"action":"cancel_task"}',
        '{"action":"install_packages","apt":"ffmpeg","npm":[]}',
        '{"action":"install_packages","apt":[5],"npm":[]}',
        '{"action":"add_mcp_server","name":"n","command":"c","args":[],"env":[]}',
        '{"action":"add_mcp_server","name":"n","command":"c","args":[],"env":{"A":1}}',
    ],
)
def test_actions_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(BadContent):
        parse_outbound("system", text)
