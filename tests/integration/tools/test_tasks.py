from datetime import timedelta

import pytest
from helpers.desk_session import DeskSession

from contract.address import NOWHERE, Address
from contract.clock import parse_text, to_text, utc_now
from contract.inbound.row import AckStatus
from contract.inbound.writer import open_inbound

IN_THREAD = Address("telegram", "77", "t-1")


def test_task_is_scheduled_for_the_chat_being_answered(session: DeskSession) -> None:
    session.begin(session.receive("remind me", IN_THREAD))

    result = session.call(
        "schedule_task",
        prompt="call Ann",
        processAfter="2028-01-15T09:30",
        recurrence=" 0 9 * *  1-5 ",
    )

    task_id = session.last.id
    assert task_id.startswith("task-")
    assert session.last.kind == "system"
    assert session.last.address == IN_THREAD
    assert session.content() == {
        "action": "schedule_task",
        "taskId": task_id,
        "prompt": "call Ann",
        "script": None,
        "processAfter": "2028-01-15T08:30:00.000Z",
        "recurrence": "0 9 * * 1-5",
        "platformId": "77",
        "channelType": "telegram",
        "threadId": "t-1",
    }
    assert result.text == (
        f"Task {task_id} scheduled for 2028-01-15T08:30:00.000Z (Jan 15, 2028, 9:30 AM, "
        "Europe/Berlin), repeating '0 9 * * 1-5'."
    )


def test_task_may_name_its_zone_its_policy_and_a_conversation_of_its_own(
    session: DeskSession,
) -> None:
    session.call(
        "schedule_task", prompt="x", processAfter="2028-01-15T09:30", timezone="Asia/Tokyo",
        catchUp="skip", context="isolated",
    )  # fmt: skip

    content = session.content()
    assert content["processAfter"] == "2028-01-15T00:30:00.000Z"
    assert (content["tz"], content["catchUp"]) == ("Asia/Tokyo", "skip")
    assert content["context"] == "isolated"


@pytest.mark.parametrize(
    ("name", "value"),
    [("timezone", "Mars/Base"), ("catchUp", "never"), ("context", "world")],
)
def test_unknown_words_of_a_task_are_refused(session: DeskSession, name: str, value: str) -> None:
    result = session.call("schedule_task", prompt="x", processAfter="2028-01-15", **{name: value})

    assert result.is_error
    assert name in result.text
    assert value in result.text or "one of" in result.text


def test_task_without_any_chat_has_no_address(session: DeskSession) -> None:
    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.set_session_routing(None)

    session.call("schedule_task", prompt="x", processAfter="2028-01-15", script="exit 0")

    assert session.last.address == NOWHERE
    assert session.content()["channelType"] is None
    assert session.content()["script"] == "exit 0"


def test_time_in_the_past_runs_at_once_and_says_so(session: DeskSession) -> None:
    result = session.call("schedule_task", prompt="x", processAfter="2020-01-01T00:00:00Z")

    assert not result.is_error
    assert result.text.endswith("That time is past, so it runs at once.")


def test_plain_interval_is_a_recurrence(session: DeskSession) -> None:
    session.call("schedule_task", prompt="x", processAfter="2028-01-01", recurrence="@every 90m")

    assert session.content()["recurrence"] == "@every 90m"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'prompt' is required"),
        ({"prompt": "x"}, "'processAfter' is required"),
        ({"prompt": "x", "processAfter": 5}, "'processAfter' must be a text"),
        ({"prompt": "x", "processAfter": "tomorrow"}, "'tomorrow' is not a time; write it like"),
        ({"prompt": "x", "processAfter": "2040-01-01"}, "more than five years ahead"),
        ({"prompt": "x", "processAfter": "2028-01-01", "recurrence": "0 9 * *"}, "4 fields"),
        ({"prompt": "x", "processAfter": "2028-01-01", "recurrence": "@every 5s"}, "one minute"),
        ({"prompt": "x", "processAfter": "2028-01-01", "script": []}, "'script' must be a text"),
    ],
)
def test_task_that_cannot_be_scheduled_leaves_no_row(
    session: DeskSession, arguments: dict[str, object], words: str
) -> None:
    result = session.call("schedule_task", **arguments)

    assert result.is_error
    assert words in result.text
    assert not session.rows


def test_list_has_one_line_per_series_with_local_times(session: DeskSession) -> None:
    session.add_task("task-1", due_in=timedelta(days=2), recurrence="0 9 * * *")
    session.add_task("task-2", due_in=timedelta(days=3), series_id="task-1",
                     recurrence="0 9 * * *")  # fmt: skip
    session.add_task("task-3", due_in=-timedelta(hours=1), content={"prompt": "x" * 200})
    session.add_task("task-4", due_in=timedelta(days=9), content={"prompt": "y", "script": "z"})
    session.add_task("task-5", due_in=timedelta(days=10), content={"text": "no task"})

    lines = session.call("list_tasks").text.splitlines()

    assert [line.split()[1] for line in lines] == ["task-3", "task-1", "task-4", "task-5"]
    assert lines[0] == f"- task-3 [pending] due now: {'x' * 80}"
    assert "Europe/Berlin), repeats '0 9 * * *': water the plants" in lines[1]
    assert "with script: y" in lines[2]
    assert lines[3].endswith("(unreadable)")


def test_list_shows_only_what_was_asked_for(session: DeskSession) -> None:
    session.add_task("task-1")

    assert "task-1" in session.call("list_tasks", status="pending").text
    assert session.call("list_tasks", status="paused").text == "There are no paused tasks."
    assert session.call("list_tasks", status="over").is_error


def test_empty_list_says_so(session: DeskSession) -> None:
    assert session.call("list_tasks").text == "There are no tasks."


@pytest.mark.parametrize("tool", ["cancel_task", "pause_task", "resume_task"])
def test_change_of_a_live_task_is_requested(session: DeskSession, tool: str) -> None:
    session.add_task("task-1")

    result = session.call(tool, taskId="task-1")

    assert result.text == f"{tool} requested for task-1."
    assert session.content() == {"action": tool, "taskId": "task-1"}
    assert session.last.id.startswith("sys-")
    assert session.last.address == NOWHERE


def test_first_occurrence_still_names_its_series(session: DeskSession) -> None:
    session.add_task("task-2", series_id="task-1")

    assert not session.call("cancel_task", taskId="task-2").is_error
    assert not session.call("cancel_task", taskId="task-1").is_error


def test_task_that_the_host_has_not_taken_over_yet_can_be_cancelled(session: DeskSession) -> None:
    session.call("schedule_task", prompt="x", processAfter="2028-01-01")
    task_id = session.last.id

    assert not session.call("cancel_task", taskId=task_id).is_error


def test_task_that_the_host_refused_is_unknown(session: DeskSession) -> None:
    session.call("schedule_task", prompt="x", processAfter="2028-01-01")
    session.deliver(session.last, None, failed=True)

    result = session.call("cancel_task", taskId=session.last.id)

    assert "there is no task" in result.text


def test_task_that_is_over_cannot_be_changed(session: DeskSession) -> None:
    session.add_task("task-1")
    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.sync_acks({"task-1": AckStatus.COMPLETED})

    result = session.call("pause_task", taskId="task-1")

    assert result.text == "Error: task task-1 is over; list_tasks shows those that are not"


def test_update_sends_only_what_was_given(session: DeskSession) -> None:
    session.add_task("task-1")

    session.call("update_task", taskId="task-1", recurrence="", processAfter="2028-06-01T08:00Z")

    assert session.content() == {
        "action": "update_task",
        "taskId": "task-1",
        "processAfter": "2028-06-01T08:00:00.000Z",
        "recurrence": None,
    }


def test_update_clears_a_script_and_changes_a_prompt(session: DeskSession) -> None:
    session.add_task("task-1")

    session.call("update_task", taskId="task-1", script="", prompt="new", recurrence="@every 2h")

    assert session.content() == {
        "action": "update_task",
        "taskId": "task-1",
        "prompt": "new",
        "recurrence": "@every 2h",
        "script": None,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'taskId' is required"),
        ({"taskId": "task-1"}, "nothing to update"),
        ({"taskId": "task-1", "prompt": ""}, "'prompt' is required"),
        ({"taskId": "task-1", "recurrence": "x"}, "'recurrence' 'x'"),
        ({"taskId": "task-1", "processAfter": ""}, "'processAfter' is required"),
        ({"taskId": "task-9", "prompt": "x"}, "there is no task 'task-9'"),
    ],
)
def test_update_that_cannot_be_made_leaves_no_row(
    session: DeskSession, arguments: dict[str, object], words: str
) -> None:
    session.add_task("task-1")

    result = session.call("update_task", **arguments)

    assert words in result.text
    assert not session.rows


def test_scheduled_moment_is_stored_as_utc_text(session: DeskSession) -> None:
    soon = utc_now() + timedelta(days=1)

    session.call("schedule_task", prompt="x", processAfter=soon.isoformat())

    assert parse_text(session.content()["processAfter"]) == parse_text(to_text(soon))


def test_task_of_a_task_keeps_its_address(session: DeskSession) -> None:
    session.add_task("task-1", address=IN_THREAD)
    row = session.session.inbound_row("task-1")
    assert row is not None
    session.begin(row)

    session.call("schedule_task", prompt="x", processAfter="2028-01-01")

    assert session.last.address == IN_THREAD
