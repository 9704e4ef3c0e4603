"""``cli_request`` rows of agents, through the effect runner to the answer row (H-129, T-63)."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.tasks_room import CHAT, HOUR, NOW, Fields, TaskRoom

from contract.inbound.lookup import find_response
from contract.inbound.reader import read_pending
from contract.inbound.row import InboundStatus, MessageKind, NewInbound
from contract.inbound.select import PendingQuery
from nanoclaw.admin.agent_requests import ANSWER_WITHIN, MAX_ANSWER_BYTES, agent_requests
from nanoclaw.admin.help import with_help
from nanoclaw.admin.registry import Access, Operation
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


def test_scenario_20_t63_missing_configuration_counts_as_group_scope(room: TaskRoom) -> None:
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
    flood = Operation("flood", Access.OPEN, "", lambda *_: data)
    handler = agent_requests(lambda: with_help((), (flood,)), lambda _: None)
    room.ask("cli_request", requestId="r1", command="flood", args={})

    room.run({"action:cli_request": handler})

    assert error_code(room) == "handler-error"
    assert words in room.row("cli-resp-r1").content


def test_scenario_54_words_of_the_container_find_ids_with_dashes(room: TaskRoom) -> None:
    room.do(
        "cli_request", requestId="r1", command="sessions-get-sess-1", args={},
        positionals=["sessions", "get", "sess-1"],
    )  # fmt: skip

    answer = frame(room)
    assert answer["ok"] is True
    assert isinstance(answer["data"], dict)
    assert answer["data"]["id"] == "sess-1"


def test_scenario_67_late_answers_are_nothing_that_the_agent_would_see(room: TaskRoom) -> None:
    for number in range(12):
        room.do("cli_request", requestId=f"late-{number}", command="ping", args={})
    room.insert(NewInbound("m-1", MessageKind.CHAT, NOW, '{"text":"hello"}', CHAT))

    batch = read_pending(room.folder().inbound_db, PendingQuery(NOW + HOUR, 10))

    assert [row.id for row in batch.rows] == ["m-1"]


def test_n96_fetched_answers_of_long_ago_are_taken_away(room: TaskRoom) -> None:
    for request_id in ("r1", "r2"):
        room.do("cli_request", requestId=request_id, command="ping", args={})
    room.finish("cli-resp-r1")
    path = room.folder().inbound_db
    conn = sqlite3.connect(path)
    conn.execute("UPDATE messages_in SET timestamp = '2026-01-01T00:00:00.000Z'")
    conn.commit()
    conn.close()

    room.do("cli_request", requestId="r3", command="ping", args={})

    assert find_response(path, "r1") is None
    assert find_response(path, "r2") is not None
    with pytest.raises(AssertionError):
        room.row("cli-resp-r1")


def test_n98_values_of_flags_stand_in_no_log(
    room: TaskRoom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    room.do("cli_request", requestId="r1", command="groups-update", args={"name": "s3cret"})

    assert "s3cret" not in caplog.text
    assert any("groups-update" in str(vars(record)) for record in caplog.records)
    assert not any("s3cret" in str(vars(record)) for record in caplog.records)
