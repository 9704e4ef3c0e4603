"""``groups restart`` and ``sessions restart``: scenarios 33 to 40, N-87 to N-91."""

import json
from datetime import timedelta

import pytest
from helpers.admin_desk import NOW, AdminDesk

from contract.clock import utc_now
from contract.inbound.writer import open_inbound
from nanoclaw.admin.context import Approved
from nanoclaw.admin.frames import Failure, Success
from nanoclaw.db import effects, sessions
from nanoclaw.events import LinkDown, StopContainers
from nanoclaw.model import CliScope, ContainerStart


def stopped(desk: AdminDesk) -> list[str]:
    frames = [frame for frame in desk.services.frames if isinstance(frame, StopContainers)]
    return [session_id for frame in frames for session_id in frame.session_ids]


def notes(desk: AdminDesk, session_id: str) -> list[dict[str, object]]:
    session = sessions.get(desk.conn, session_id)
    assert session is not None
    return [row for row in desk.rows_in(session) if row["channel_type"] == "agent"]


def test_scenario_33_35_only_running_sessions_are_stopped_and_counted(desk: AdminDesk) -> None:
    desk.add_session("sess-idle")
    desk.add_session("sess-1", running=True)
    desk.add_session("sess-2", running=True)
    desk.add_session("sess-other", desk.add_group(), running=True)

    answer = desk.get(f"groups restart {desk.group_id}")

    assert answer == {"restarted": 2, "rebuilt": False}
    assert sorted(stopped(desk)) == ["sess-1", "sess-2"]


def test_scenario_34_closed_sessions_are_left_alone(desk: AdminDesk) -> None:
    desk.add_session("sess-1")
    desk.get("sessions close sess-1")

    assert desk.get(f"groups restart {desk.group_id}")["restarted"] == 0
    assert desk.services.frames == []


def test_scenario_36_without_a_message_nobody_is_told(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)

    desk.get(f"groups restart {desk.group_id}")

    assert notes(desk, "sess-1") == []


def test_scenario_37_message_waits_for_the_fresh_container(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)

    desk.get(f"groups restart {desk.group_id}", message="Look around")

    (row,) = notes(desk, "sess-1")
    assert row["on_wake"] == 1
    assert (row["kind"], row["platform_id"], row["thread_id"]) == ("chat", desk.group_id, None)
    assert json.loads(str(row["content"])) == {
        "text": "Look around",
        "sender": "system",
        "senderId": "system",
    }
    assert str(row["id"]).startswith("restart-")


def test_scenario_38_session_is_due_so_that_its_end_brings_it_back(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)

    desk.get(f"groups restart {desk.group_id}", message="x")

    session = sessions.get(desk.conn, "sess-1")
    assert session is not None
    assert session.next_due_at is not None


def test_scenario_39_session_that_has_vanished_is_neither_told_nor_brought_back(
    desk: AdminDesk,
) -> None:
    desk.add_session("sess-1", running=True)
    desk.conn.execute("DELETE FROM sessions")

    answer = desk.get(f"groups restart {desk.group_id}", message="x")

    assert answer["restarted"] == 0
    assert desk.services.frames == []


def test_scenario_40_every_session_gets_its_own_message(desk: AdminDesk) -> None:
    for name in ("sess-1", "sess-2"):
        desk.add_session(name, running=True)

    desk.get(f"groups restart {desk.group_id}", message="x")

    ids = {str(notes(desk, name)[0]["id"]) for name in ("sess-1", "sess-2")}
    assert len(ids) == 2


def test_sweep_that_does_not_answer_is_said_to_be_so(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)
    desk.services.says = LinkDown()

    answer = desk.get(f"groups restart {desk.group_id}")

    assert (answer["restarted"], answer["state"]) == (1, "pending")
    assert "the sweep does not answer" in answer["note"]


def test_locked_session_file_is_waited_for(desk: AdminDesk) -> None:
    session = desk.add_session("sess-1", running=True)
    with open_inbound(desk.folder(session).inbound_db):
        answers = desk.handle(f"groups restart {desk.group_id}", {"message": "x"})
        desk.services.tick()
        assert (answers, stopped(desk)) == ([], [])

    for _ in range(3):
        desk.services.tick()

    assert len(answers) == 1
    assert stopped(desk) == ["sess-1"]
    assert len(notes(desk, "sess-1")) == 1


def test_group_that_is_not_there_is_refused(desk: AdminDesk) -> None:
    assert desk.fail("groups restart ag-x")[0] == "not-found"
    assert desk.fail("groups restart") == ("invalid-args", "--id is required")


# --- one session ----------------------------------------------------------------------------------


def test_one_session_is_restarted_alone(desk: AdminDesk) -> None:
    for name in ("sess-1", "sess-2"):
        desk.add_session(name, running=True)

    answer = desk.get("sessions restart sess-1", message="again")

    assert answer["restarted"] == 1
    assert stopped(desk) == ["sess-1"]
    assert len(notes(desk, "sess-1")) == 1
    assert notes(desk, "sess-2") == []


def test_scenario_63_approved_restart_is_of_the_session_that_asked(desk: AdminDesk) -> None:
    for name in ("sess-1", "sess-2"):
        desk.add_session(name, running=True)
    caller, approved = desk.agent(), Approved("appr-1", "telegram:1")
    (one,) = desk.handle("groups restart", {}, caller, approved)
    desk.carry_out()
    assert stopped(desk) == ["sess-1"]
    desk.services.frames.clear()
    desk.add_session("sess-3", running=True)
    (whole,) = desk.handle("groups restart", {"all": True}, caller, approved)
    desk.carry_out()

    assert isinstance(one, Success)
    assert isinstance(whole, Success)
    assert sorted(stopped(desk)) == ["sess-2", "sess-3"]


def test_container_that_is_younger_than_the_command_is_left_alone(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)
    desk.services.says = LinkDown()
    desk.handle(f"groups restart {desk.group_id}", {})
    desk.services.tick()
    start = ContainerStart("c-new", utc_now() + timedelta(seconds=1), "1")
    sessions.set_running(desk.conn, "sess-1", start)
    desk.services.frames.clear()

    desk.services.tick()

    assert desk.services.frames == []


@pytest.mark.parametrize("scope", [CliScope.GROUP, CliScope.GLOBAL])
def test_n90_agent_that_names_no_group_means_its_own(desk: AdminDesk, scope: CliScope) -> None:
    desk.add_session("sess-1", running=True)

    answer = desk.get("groups restart", desk.agent(scope), dry_run=True)

    assert answer["result"] == {"restarted": 1, "rebuilt": False}


# --- closing --------------------------------------------------------------------------------------


def test_session_is_closed_once_and_stays_so(desk: AdminDesk) -> None:
    desk.add_session("sess-1")

    assert desk.get("sessions close sess-1")["status"] == "closed"
    assert desk.get("sessions close sess-1")["status"] == "closed"
    assert desk.fail("sessions close sess-x") == ("not-found", "session not found: sess-x")


def test_session_at_work_is_not_closed(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)

    code, message = desk.fail("sessions close sess-1")

    assert (code, "cannot be closed now" in message) == ("handler-error", True)


# --- rebuilding -----------------------------------------------------------------------------------


def build_of(desk: AdminDesk) -> str:
    row = desk.conn.execute("SELECT effect_id FROM effects WHERE kind = 'build_group_image'")
    return str(row.fetchone()[0])


def test_n91_rebuild_answers_when_the_image_is_there(desk: AdminDesk) -> None:
    desk.add_session("sess-1", running=True)
    desk.get(f"groups config add-package {desk.group_id}", apt="jq")

    answers = desk.handle(f"groups restart {desk.group_id}", {"rebuild": True, "message": "new"})
    assert answers == []
    assert desk.get("ping")
    desk.services.tick()
    effects.begin(desk.conn, build_of(desk), NOW)
    effects.finish(desk.conn, build_of(desk), "built", NOW)
    desk.services.tick()

    assert [answer for answer in answers if isinstance(answer, Success)]
    (answer,) = answers
    assert isinstance(answer, Success)
    assert answer.data == {"restarted": 1, "rebuilt": True}
    (row,) = notes(desk, "sess-1")
    assert row["on_wake"] == 0


def test_rebuild_that_fails_says_why(desk: AdminDesk) -> None:
    answers = desk.handle(f"groups restart {desk.group_id}", {"rebuild": True})

    effects.fail(desk.conn, build_of(desk), "no such package: jqq", NOW)
    desk.services.tick()

    (answer,) = answers
    assert isinstance(answer, Failure)
    assert "no such package: jqq" in answer.message


def test_n89_rebuild_without_packages_goes_back_to_the_image_of_all(desk: AdminDesk) -> None:
    desk.get(f"groups config update {desk.group_id}", image_tag="old")

    desk.handle(f"groups restart {desk.group_id}", {"rebuild": True})

    payload = desk.conn.execute(
        "SELECT payload FROM effects WHERE kind = 'build_group_image'"
    ).fetchone()[0]
    assert json.loads(payload)["exact"] is True
    assert json.loads(payload)["packages"] == {"apt": [], "npm": [], "pip": []}


def test_dry_run_of_rebuild_orders_nothing(desk: AdminDesk) -> None:
    desk.get(f"groups restart {desk.group_id}", rebuild=True, dry_run=True)

    assert (
        desk.conn.execute(
            "SELECT count(*) FROM effects WHERE kind = 'build_group_image'"
        ).fetchone()[0]
        == 0
    )
