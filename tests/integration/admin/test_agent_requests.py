"""``cli_request`` rows of agents, through the effect runner to the answer row (H-129, T-63)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.tasks_room import NOW, Fields, TaskRoom

from contract.inbound.lookup import find_response
from contract.inbound.row import InboundStatus
from nanoclaw.admin.agent_requests import ANSWER_WITHIN, MAX_ANSWER_BYTES, agent_requests
from nanoclaw.admin.dispatch import CommandSpec
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import EffectState
from nanoclaw.model import CliScope


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TaskRoom]:
    made = TaskRoom(tmp_path)
    yield made
    made.close()


def frame(room: TaskRoom, request_id: str = "r1") -> dict[str, object]:
    content = json.loads(room.row(f"cli-resp-{request_id}").content)
    assert (content["type"], content["requestId"]) == ("cli_response", request_id)
    found: dict[str, object] = content["frame"]
    return found


def error_code(room: TaskRoom) -> str:
    error = frame(room)["error"]
    assert isinstance(error, dict)
    return str(error["code"])


def test_answer_is_a_system_row_that_wakes_nobody(room: TaskRoom) -> None:
    room.do("cli_request", requestId="r1", command="ping", args={})

    row = room.row("cli-resp-r1")
    assert (row.kind, row.trigger, row.status) == ("system", False, InboundStatus.PENDING)
    assert row.address.is_empty
    assert frame(room)["ok"] is True
    assert '"requestId":"r1"' in row.content
    assert room.due_at() is None
    found = find_response(room.folder().inbound_db, "r1")
    assert found is not None


def test_t63_missing_configuration_counts_as_group_scope(room: TaskRoom) -> None:
    room.conn.execute("DELETE FROM container_configs")

    room.do("cli_request", requestId="r1", command="status", args={})

    assert error_code(room) == "forbidden"


@pytest.mark.parametrize(
    ("scope", "command", "code"),
    [
        (CliScope.DISABLED, "ping", "forbidden"),
        (CliScope.GROUP, "status", "forbidden"),
        (CliScope.GROUP, "groups-frobnicate", "unknown-command"),
        (CliScope.GLOBAL, "frobnicate", "unknown-command"),
    ],
)
def test_t63_scope_of_the_group_decides(
    room: TaskRoom, scope: CliScope, command: str, code: str
) -> None:
    room.configure(ContainerConfigChange(cli_scope=scope))

    room.do("cli_request", requestId="r1", command=command, args={})

    assert error_code(room) == code


def test_t63_global_scope_may_look_at_the_whole_host(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))

    room.do("cli_request", requestId="r1", command="status", args={})

    assert frame(room)["ok"] is True


@pytest.mark.parametrize(
    "fields",
    [{"command": "ping"}, {"requestId": "r1"}, {"requestId": "", "command": "ping"},
     {"requestId": "x" * 200, "command": "ping"}],
)  # fmt: skip
def test_request_that_cannot_be_answered_is_ignored(room: TaskRoom, fields: Fields) -> None:
    effect = room.do("cli_request", **fields)

    assert effect.state is EffectState.FAILED
    assert (effect.last_error or "").startswith("ignored")
    assert find_response(room.folder().inbound_db, "r1") is None


def test_bad_frame_is_answered(room: TaskRoom) -> None:
    room.do("cli_request", requestId="r1", command="ping", args=["--all"])

    assert error_code(room) == "transport-error"


def test_w35_a_late_request_is_neither_carried_out_nor_answered(room: TaskRoom) -> None:
    late = NOW - ANSWER_WITHIN - timedelta(seconds=1)

    effect = room.do("cli_request", at=late, requestId="r1", command="ping", args={})

    assert effect.state is EffectState.DONE
    assert find_response(room.folder().inbound_db, "r1") is None


def test_t66_a_repeated_request_has_one_answer(room: TaskRoom) -> None:
    room.do("cli_request", requestId="r1", command="ping", args={})
    first = room.row("cli-resp-r1")

    room.conn.execute("UPDATE effects SET state = 'running'")
    room.run()

    assert room.row("cli-resp-r1") == first


@pytest.mark.parametrize(
    ("data", "words"), [("x" * MAX_ANSWER_BYTES, "ask for less"), ({1, 2}, "JSON")]
)
def test_answer_that_does_not_fit_says_so(room: TaskRoom, data: object, words: str) -> None:
    handler = agent_requests(lambda _: {"flood": CommandSpec(lambda _: data)})
    room.ask("cli_request", requestId="r1", command="flood", args={})

    room.run({"action:cli_request": handler})

    assert error_code(room) == "handler-error"
    assert words in room.row("cli-resp-r1").content
