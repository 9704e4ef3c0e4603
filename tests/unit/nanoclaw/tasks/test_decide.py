"""Requests about tasks, and what follows when a run is over, as tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.actions import ScheduleTask, UpdateTask
from contract.address import NOWHERE
from contract.inbound.row import InboundRow, InboundStatus
from nanoclaw.tasks.decide import (
    ALERT_AFTER_FAILURES,
    MAX_LIVE_SERIES,
    MAX_PROMPT_BYTES,
    CatchUp,
    Refused,
    RunFacts,
    ScheduleFacts,
    SeriesEnds,
    SoundChange,
    SoundTask,
    Successor,
    count_failures,
    decide_schedule,
    decide_skip,
    decide_successor,
    decide_update,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FACTS = ScheduleFacts(now=NOW, zone=BERLIN, live_series=0)
ACTION = ScheduleTask(
    task_id="task-1",
    prompt="Water the plants",
    script=None,
    process_after="2026-11-22T09:00",
    recurrence="0 9 * * *",
    platform_id="chat",
    channel_type="telegram",
    thread_id=None,
)
ROW = InboundRow(
    id="task-1",
    seq=2,
    kind="task",
    timestamp=NOW,
    status=InboundStatus.COMPLETED,
    content='{"prompt":"x","script":null}',
    address=NOWHERE,
    trigger=True,
    process_after=NOW,
    recurrence="0 9 * * *",
    series_id="task-1",
    tries=0,
    on_wake=False,
    source_session_id=None,
    taint=None,
    chain_id=None,
    hop=0,
    tz=None,
    catch_up=None,
    reply_hint=None,
    platform_message_id=None,
    event_key=None,
)


# --- schedule -------------------------------------------------------------------------------------


def test_a_sound_task_is_taken_as_it_is() -> None:
    assert decide_schedule(ACTION, FACTS) == SoundTask(
        task_id="task-1",
        prompt="Water the plants",
        script=None,
        first_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
        recurrence="0 9 * * *",
        tz=None,
        catch_up=CatchUp.LATEST,
        isolated=False,
    )


@pytest.mark.parametrize(
    ("action", "facts", "words"),
    [
        (replace(ACTION, process_after="soon"), FACTS, "is not a time"),
        (replace(ACTION, process_after="2039-01-01"), FACTS, "five years"),
        (replace(ACTION, recurrence="9am"), FACTS, "'9am'"),
        (replace(ACTION, recurrence="0 9 31 2 *"), FACTS, "no such day"),
        (replace(ACTION, recurrence="* * * * * *"), FACTS, "6 fields"),
        (replace(ACTION, prompt=" "), FACTS, "prompt is empty"),
        (replace(ACTION, prompt="x" * (MAX_PROMPT_BYTES + 1)), FACTS, "the prompt is over"),
        (replace(ACTION, script="x" * (MAX_PROMPT_BYTES + 1)), FACTS, "the script is over"),
        (replace(ACTION, task_id="../up"), FACTS, "id"),
        (replace(ACTION, task_id=""), FACTS, "id"),
        (replace(ACTION, catch_up="maybe"), FACTS, "catchUp"),
        (replace(ACTION, context="world"), FACTS, "context"),
        (replace(ACTION, tz="Mars/Base"), replace(FACTS, zone=None), "'Mars/Base'"),
        (ACTION, replace(FACTS, live_series=MAX_LIVE_SERIES), "cancel some"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(
    action: ScheduleTask, facts: ScheduleFacts, words: str
) -> None:
    decision = decide_schedule(action, facts)

    assert isinstance(decision, Refused)
    assert words in decision.text


@pytest.mark.parametrize("recurrence", [None, "", "   "])
def test_a_blank_recurrence_is_none(recurrence: str | None) -> None:
    decision = decide_schedule(replace(ACTION, recurrence=recurrence), FACTS)

    assert isinstance(decision, SoundTask)
    assert decision.recurrence is None


# --- update ---------------------------------------------------------------------------------------


def update(**fields: object) -> UpdateTask:
    return UpdateTask.read({"action": "update_task", "taskId": "task-1", **fields})


def test_only_given_fields_of_the_right_type_count() -> None:
    change = decide_update(update(prompt="new", processAfter=7, recurrence=None), NOW, BERLIN)

    assert change == SoundChange(
        prompt="new",
        script=None,
        script_given=False,
        process_after=None,
        recurrence=None,
        recurrence_given=True,
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"processAfter": "whenever"}, "is not a time"),
        ({"recurrence": "61 * * * *"}, "minute"),
    ],
)
def test_a_wrong_change_is_refused(fields: dict[str, object], words: str) -> None:
    decision = decide_update(update(**fields), NOW, BERLIN)

    assert isinstance(decision, Refused)
    assert words in decision.text


# --- successors -----------------------------------------------------------------------------------


def facts(row: InboundRow, *, late: timedelta = timedelta(0)) -> RunFacts:
    return RunFacts(now=NOW + late, row=row, due_at=NOW, zone=BERLIN)


@pytest.mark.parametrize("status", [InboundStatus.COMPLETED, InboundStatus.FAILED])
def test_a_run_has_a_successor_however_it_ended(status: InboundStatus) -> None:
    decision = decide_successor(facts(replace(ROW, status=status)))

    assert decision == Successor(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("catch_up", "next_day", "missed"),
    [(None, 25, 3), ("latest", 25, 3), ("nonsense", 25, 3), ("skip", 25, 3), ("all", 22, 0)],
)
def test_policy_says_what_becomes_of_missed_times(
    catch_up: str | None, next_day: int, missed: int
) -> None:
    late = timedelta(days=3, hours=1)

    decision = decide_successor(facts(replace(ROW, catch_up=catch_up), late=late))

    assert decision == Successor(datetime(2026, 11, next_day, 8, 0, tzinfo=UTC), missed)


def test_making_up_is_bounded() -> None:
    row = replace(ROW, recurrence="* * * * *", catch_up="all")

    decision = decide_successor(facts(row, late=timedelta(days=2)))

    assert isinstance(decision, Successor)
    assert decision.at == NOW + timedelta(days=2) - timedelta(minutes=99)


@pytest.mark.parametrize(
    ("recurrence", "told"), [(None, False), ("  ", False), ("nonsense", True), ("0 0 31 2 *", True)]
)
def test_a_series_without_a_readable_repetition_ends(recurrence: str | None, told: bool) -> None:
    decision = decide_successor(facts(replace(ROW, recurrence=recurrence)))

    assert isinstance(decision, SeriesEnds)
    assert (decision.text is not None) is told


@settings(deadline=None, max_examples=100)
@given(
    late=st.timedeltas(timedelta(0), timedelta(days=90)),
    text=st.sampled_from(["@every 7m", "*/10 * * * *", "0 9 * * 1", "30 2 * * *", "0 0 1 * *"]),
    catch_up=st.sampled_from(["latest", "skip"]),
)
def test_successor_lies_in_the_future(late: timedelta, text: str, catch_up: str) -> None:
    decision = decide_successor(facts(replace(ROW, recurrence=text, catch_up=catch_up), late=late))

    assert isinstance(decision, Successor)
    assert decision.at > NOW + late


def test_all_makes_every_missed_time_up_in_order() -> None:
    now, due, made_up = NOW + timedelta(days=3, hours=1), NOW, []
    row = replace(ROW, catch_up="all")
    while due <= now:
        decision = decide_successor(RunFacts(now, row, due, BERLIN))
        assert isinstance(decision, Successor)
        due = decision.at
        made_up.append(due.day)

    assert made_up == [22, 23, 24, 25]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (timedelta(minutes=9), None),
        (timedelta(minutes=11), Successor(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))),
        (timedelta(days=2, hours=1), Successor(datetime(2026, 11, 24, 8, 0, tzinfo=UTC), 2)),
    ],
)
def test_skip_leaves_out_what_is_late(late: timedelta, expected: Successor | None) -> None:
    assert decide_skip(facts(replace(ROW, catch_up="skip"), late=late)) == expected


def test_a_run_that_is_tried_again_was_not_missed() -> None:
    """Its row has been moved on; the series still counts from the time that was planned."""
    row = replace(ROW, catch_up="skip", tries=2, process_after=NOW + timedelta(minutes=14))

    assert decide_skip(facts(row, late=timedelta(minutes=15))) is None
    assert decide_skip(facts(row, late=timedelta(minutes=25))) is not None


def test_a_late_single_task_that_is_to_be_skipped_ends() -> None:
    row = replace(ROW, recurrence=None, catch_up="skip")

    assert decide_skip(facts(row, late=timedelta(hours=1))) == SeriesEnds()


def test_failures_alert_once_in_a_row() -> None:
    alerts, failures = [], 0
    for status in (InboundStatus.FAILED,) * 5 + (InboundStatus.COMPLETED,):
        count = count_failures(status, failures)
        failures = count.failures
        alerts.append(count.alert)

    assert [number for number, alert in enumerate(alerts, 1) if alert] == [ALERT_AFTER_FAILURES]
    assert failures == 0
