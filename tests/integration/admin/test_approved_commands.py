"""An agent's write from its request over a person's answer to the note: N-37 to N-42."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.admin_desk import FakeServices
from helpers.tasks_room import NOW, TaskRoom

from nanoclaw.admin.asking import ACTION
from nanoclaw.admin.caller import HOST
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.dispatch import Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import Failure, Request, Response, Success
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.db import agent_groups, approvals, audit, members, roles, users
from nanoclaw.db.approvals import Approval
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import EffectState
from nanoclaw.events import ActionOutcome
from nanoclaw.model import CliScope, Role, RoleGrant, User

PERSON = "telegram:7"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TaskRoom]:
    made = TaskRoom(tmp_path)
    users.upsert(made.conn, User(PERSON, "telegram", NOW, "Ada"))
    roles.grant(made.conn, RoleGrant(PERSON, Role.ADMIN, NOW))
    yield made
    made.close()


def request(room: TaskRoom, command: str, /, **args: str | bool) -> dict[str, object]:
    """What the agent is told at once."""
    request_id = f"r{room.conn.total_changes}"
    room.do("cli_request", requestId=request_id, command=command, args=args)
    frame: dict[str, object] = json.loads(room.row(f"cli-resp-{request_id}").content)["frame"]
    return frame


def code_of(frame: dict[str, object]) -> str:
    error = frame["error"]
    assert isinstance(error, dict)
    return str(error["code"])


def waiting(room: TaskRoom) -> Approval:
    (approval,) = approvals.pending(room.conn)
    return approval


def press(room: TaskRoom, value: str, user_id: str = PERSON) -> ActionOutcome:
    click = Click(waiting(room).approval_id, value, user_id, "telegram", "telegram:7")
    with transaction(room.conn):
        result = answers.answer(room.conn, click, NOW)
    return result.outcome


def by_host(room: TaskRoom, words: str, **args: str | bool) -> Response:
    positionals = tuple(words.split())
    found: list[Response] = []
    services = FakeServices()
    around = Surroundings(room.config, lambda: room.conn, services, lambda _: None)
    call = Call(Request("h", "-".join(positionals), args, positionals), HOST, NOW, "h-1")
    Dispatcher(host_registry(), around).handle(call, found.append)
    if not found:  # it waits for an effect
        room.run()
        services.tick()
    (answer,) = found
    return answer


def test_approved_command_is_carried_out_and_the_agent_is_told(room: TaskRoom) -> None:
    asked = request(room, "members-add", user=PERSON)
    assert code_of(asked) == "approval-pending"
    assert members.list_all(room.conn) == []

    assert press(room, "approve") is ActionOutcome.ACCEPTED
    room.run()

    assert members.has_row(room.conn, PERSON, room.group_id)
    (note,) = room.notes()
    assert "approved and carried out" in note
    assert PERSON in note
    assert room.due_at() is not None


def test_rejected_command_does_nothing_and_the_agent_is_told(room: TaskRoom) -> None:
    request(room, "members-add", user=PERSON)

    press(room, "reject")
    room.run()

    assert members.list_all(room.conn) == []
    (note,) = room.notes()
    assert "not approved" in note


def test_scenario_62_answer_of_somebody_without_the_right_counts_for_nothing(
    room: TaskRoom,
) -> None:
    users.upsert(room.conn, User("telegram:8", "telegram", NOW))
    request(room, "members-add", user=PERSON)

    assert press(room, "approve", "telegram:8") is ActionOutcome.NOT_ALLOWED
    assert press(room, "approve", f"agent:{room.group_id}") is ActionOutcome.NOT_ALLOWED
    room.run()

    assert members.list_all(room.conn) == []


def test_card_shows_exactly_what_runs_without_secrets(room: TaskRoom) -> None:
    request(
        room, "groups-config-add-mcp-server", name="maps", command="npx",
        env='{"MAPS_KEY":"s3cret"}', args='["--token","abcdefgh12"]',
    )  # fmt: skip

    approval = waiting(room)
    assert approval.action == ACTION
    assert approval.title == "Run ncl groups config add-mcp-server?"
    assert "`ncl groups config add-mcp-server --name maps" in approval.question
    assert f"--id `{room.group_id}`" in approval.question
    for secret in ("s3cret", "abcdefgh12"):
        assert secret not in approval.question
        assert secret in approval.payload
    frame = json.loads(approval.payload)["frame"]
    assert frame["command"] == "groups-config-add-mcp-server"
    assert set(frame["args"]) == {"name", "command", "env", "args", "id"}


def test_card_says_that_the_agent_may_act_on_the_orders_of_others(room: TaskRoom) -> None:
    args = {"user": PERSON}
    room.do("cli_request", taint="web", requestId="r1", command="members-add", args=args)

    assert "it has read foreign content" in waiting(room).question


def test_two_spellings_never_reach_a_card(room: TaskRoom) -> None:
    args = {"agent_group_id": room.group_id, "agent-group-id": "ag-victim"}
    room.do("cli_request", requestId="r1", command="members-add", args={**args, "user": PERSON})

    frame = json.loads(room.row("cli-resp-r1").content)["frame"]
    assert frame["error"]["code"] == "invalid-args"
    assert approvals.pending(room.conn) == []


@pytest.mark.parametrize(
    "args",
    [{"cli_scope": "global"}, {"cli-scope": "global"}, {"null": "cli-scope"}, {"Cli-Scope": "x"}],
)
def test_agent_cannot_even_ask_for_a_wider_scope(room: TaskRoom, args: dict[str, str]) -> None:
    room.do("cli_request", requestId="r1", command="groups-config-update", args=args)

    frame = json.loads(room.row("cli-resp-r1").content)["frame"]
    assert frame["error"]["code"] == "forbidden"
    assert approvals.pending(room.conn) == []


def test_n41_scope_is_checked_again_when_it_is_carried_out(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))
    other = agent_groups.list_all(room.conn)[0]
    request(room, "roles-grant", user=PERSON, role="admin", group=other.id)
    room.configure(ContainerConfigChange(cli_scope=CliScope.GROUP))

    press(room, "approve")
    room.run()

    (note,) = room.notes()
    assert "approved but failed" in note
    assert len(roles.of_user(room.conn, PERSON)) == 1


def test_what_fails_after_all_is_told_with_its_reason(room: TaskRoom) -> None:
    members.add(room.conn, members.Member(PERSON, room.group_id, NOW))
    request(room, "members-remove", user=PERSON)
    members.remove(room.conn, PERSON, room.group_id)

    press(room, "approve")
    room.run()

    (note,) = room.notes()
    assert "approved but failed: member not found" in note


def test_repeated_after_a_crash_it_is_done_once_and_told_once(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))
    request(room, "groups-create", name="Second", folder="second")
    press(room, "approve")
    room.run()
    before = agent_groups.list_all(room.conn)
    effect = room.conn.execute("SELECT effect_id FROM effects WHERE kind = ?", (ACTION,))
    effect_id = effect.fetchone()[0]

    # As if the process had died between the command's commit and its answer.
    kept = json.dumps({"id": "x", "ok": True, "data": {"id": "ag-kept"}})
    room.conn.execute(
        "UPDATE effects SET state = 'running', result = ? WHERE effect_id = ?", (kept, effect_id)
    )
    room.run()

    assert agent_groups.list_all(room.conn) == before
    assert room.effect(effect_id).state is EffectState.DONE
    assert len(room.notes()) == 1


def test_answer_is_kept_in_the_transaction_of_the_command(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))
    request(room, "groups-create", name="Second", folder="second")
    press(room, "approve")
    seen: list[str] = []
    room.conn.set_trace_callback(seen.append)
    room.run()
    room.conn.set_trace_callback(None)

    kept = next(i for i, sql in enumerate(seen) if sql.startswith("UPDATE effects SET result"))
    made = next(i for i, sql in enumerate(seen) if sql.startswith("INSERT INTO agent_groups"))
    committed = next(i for i, sql in enumerate(seen) if sql == "COMMIT" and i > made)
    assert made < kept < committed


def test_audit_names_agent_and_approval(room: TaskRoom) -> None:
    request(room, "members-add", user=PERSON)
    approval = waiting(room)
    press(room, "approve")
    room.run()

    (row,) = audit.recent(room.conn, "ncl.members-add", 10)
    detail = json.loads(row.detail)
    assert row.actor == f"agent:{room.group_id}"
    assert (detail["approval"], detail["approved_by"]) == (approval.approval_id, PERSON)
    assert row.session_id == "sess-1"


# --- the host's own answer ------------------------------------------------------------------------


def test_n42_host_approves_where_no_chat_reaches_anybody(room: TaskRoom) -> None:
    roles.revoke(room.conn, PERSON, Role.ADMIN, None)
    request(room, "members-add", user=PERSON)
    approval = waiting(room)

    answer = by_host(room, f"approvals approve {approval.approval_id}")
    room.run()

    assert isinstance(answer, Success)
    assert isinstance(answer.data, dict)
    assert answer.data["status"] == "approved"
    assert members.has_row(room.conn, PERSON, room.group_id)


def test_host_rejects_and_decides_once(room: TaskRoom) -> None:
    request(room, "members-add", user=PERSON)
    approval = waiting(room)

    first = by_host(room, f"approvals reject {approval.approval_id}")
    second = by_host(room, f"approvals approve {approval.approval_id}")
    room.run()

    assert isinstance(first, Success)
    assert isinstance(second, Failure)
    assert "already" in second.message
    assert members.list_all(room.conn) == []
    assert by_host(room, "approvals approve appr-x") == Failure(
        "h", "not-found", "approval not found: appr-x"
    )


def test_no_agent_answers_for_a_person(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))
    request(room, "members-add", user=PERSON, group=room.group_id)
    approval = waiting(room)

    answer = request(room, "approvals-approve", id=approval.approval_id)

    assert code_of(answer) == "forbidden"
    assert waiting(room) == approval


def test_dry_run_of_a_decision_decides_nothing(room: TaskRoom) -> None:
    request(room, "members-add", user=PERSON)
    approval = waiting(room)

    by_host(room, f"approvals approve {approval.approval_id}", dry_run=True)

    assert waiting(room) == approval


# --- what may not be seen -------------------------------------------------------------------------


def test_scenario_27_28_29_session_of_another_group_is_as_absent_as_none(room: TaskRoom) -> None:
    by_host(room, "groups create", name="Other", folder="other")
    other = next(item for item in agent_groups.list_all(room.conn) if item.folder == "other")
    room.conn.execute(
        "INSERT INTO sessions (id, agent_group_id, status, container_status, created_at)"
        " VALUES ('sess-other', ?, 'active', 'stopped', '2026-01-01T00:00:00.000Z')",
        (other.id,),
    )

    foreign = request(room, "sessions-get", id="sess-other")
    unknown = request(room, "sessions-get", id="sess-never")
    own = request(room, "sessions-get", id="sess-1")

    errors = [json.dumps(frame["error"]) for frame in (foreign, unknown)]
    assert errors[0].replace("sess-other", "X") == errors[1].replace("sess-never", "X")
    assert "session not found" in errors[0]
    assert own["ok"] is True
    for verb in ("close", "restart"):
        refused = request(room, f"sessions-{verb}", id="sess-other")
        assert code_of(refused) == "not-found"
