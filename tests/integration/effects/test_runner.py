"""The effect runner on a real database: order, retries, repeats, and handlers that misbehave."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.tasks_room import NOW, TaskRoom
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.errors import BadContent, SessionFileBusy, SessionFileCorrupt
from nanoclaw.db import effects
from nanoclaw.db.effects import Effect, EffectState, NewEffect
from nanoclaw.effects.base import Again, Done, EffectContext, Failed, HandlerResult, UnderWay
from nanoclaw.effects.decide import LIFETIME
from nanoclaw.policy.binding import payload_hash


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TaskRoom]:
    made = TaskRoom(tmp_path)
    yield made
    made.close()


class Deeds:
    """A handler that notes what it did and answers as it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.answers: dict[str, list[HandlerResult | Exception]] = {}
        self.contexts: list[EffectContext] = []

    def __call__(self, context: EffectContext, effect: Effect) -> HandlerResult:
        self.done.append(effect.payload)
        self.contexts.append(context)
        answers = self.answers.get(effect.payload)
        answer = answers.pop(0) if answers else Done("ok")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def deeds() -> Deeds:
    return Deeds()


def record(room: TaskRoom, name: str, session_id: str = "sess-1", **fields: str) -> str:
    new = NewEffect(
        effect_id=name,
        kind="deed",
        requested_by="agent:x",
        payload=name,
        payload_hash=fields.get("payload_hash", payload_hash(name)),
        created_at=utc_now() - timedelta(hours=float(fields.get("age_hours", "0"))),
        session_id=session_id or None,
        approval_id=fields.get("approval_id"),
    )
    assert effects.record(room.conn, new)
    return name


def wait_for(room: TaskRoom, deeds: Deeds, names: int) -> None:
    def look() -> bool:
        room.reactor.run_once(0.01)
        return len(deeds.done) >= names

    wait_until(look, what="the deeds")


def spin(room: TaskRoom, deeds: Deeds, names: int) -> None:
    """Runs until so many deeds were done."""
    runner = room.runner({"deed": deeds})
    runner.start()
    wait_for(room, deeds, names)
    runner.close()


def state(room: TaskRoom, name: str) -> EffectState:
    return room.effect(name).state


def test_effects_of_one_session_are_done_in_their_order(room: TaskRoom, deeds: Deeds) -> None:
    names = [record(room, f"deed-{number}") for number in range(40)]

    room.run({"deed": deeds})

    assert deeds.done == names
    assert {state(room, name) for name in names} == {EffectState.DONE}


def test_who_must_wait_holds_up_its_own_session_only(room: TaskRoom, deeds: Deeds) -> None:
    room.add_session("sess-2")
    deeds.answers["first"] = [Again("busy", 0.1)]
    record(room, "first")
    record(room, "second")
    record(room, "elsewhere", "sess-2")
    record(room, "approved", approval_id="appr-1")
    record(room, "of nobody", "")

    spin(room, deeds, 6)

    assert deeds.done[0] == "first"
    assert set(deeds.done[1:4]) == {"elsewhere", "approved", "of nobody"}
    assert deeds.done[4:] == ["first", "second"]


def test_an_interrupted_deed_is_repeated_by_the_next_process(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed")
    assert effects.begin(room.conn, "deed", NOW)

    room.run({"deed": deeds})

    assert deeds.done == ["deed"]
    assert (state(room, "deed"), room.effect("deed").attempts) == (EffectState.DONE, 2)


@pytest.mark.parametrize(
    "error",
    [
        SessionFileBusy("/x", "SQLITE_BUSY"),
        OSError("disk full"),
        sqlite3.OperationalError("locked"),
    ],
)
def test_passing_trouble_is_tried_again(room: TaskRoom, deeds: Deeds, error: Exception) -> None:
    record(room, "deed")
    deeds.answers["deed"] = [error]

    room.run({"deed": deeds})

    waiting = room.effect("deed")
    assert waiting.state is EffectState.PENDING
    assert waiting.next_attempt_at > NOW
    assert waiting.last_error


def test_a_handlers_defect_ends_its_effect_and_no_other(
    room: TaskRoom, deeds: Deeds, caplog: pytest.LogCaptureFixture
) -> None:
    record(room, "broken")
    record(room, "whole")
    deeds.answers["broken"] = [ZeroDivisionError("oh")]

    room.run({"deed": deeds})

    assert (state(room, "broken"), state(room, "whole")) == (EffectState.FAILED, EffectState.DONE)
    assert room.effect("broken").last_error == "ZeroDivisionError: oh"
    assert "unexpected" in caplog.text


def test_refusal_is_final(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed")
    deeds.answers["deed"] = [Failed("never")]

    room.run({"deed": deeds})

    assert (state(room, "deed"), room.effect("deed").last_error) == (EffectState.FAILED, "never")


def test_what_differs_from_what_was_decided_is_not_done(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed", payload_hash=payload_hash("something else"))

    room.run({"deed": deeds})

    assert deeds.done == []
    assert state(room, "deed") is EffectState.FAILED


def test_after_a_day_the_agent_is_told(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed", age_hours=str(LIFETIME / timedelta(hours=1)))
    deeds.answers["deed"] = [Again("nobody there")]

    room.run({"deed": deeds})

    (note,) = room.notes()
    assert "nobody there" in note
    assert state(room, "deed") is EffectState.FAILED


def test_t66_an_unknown_action_is_told_once(room: TaskRoom) -> None:
    """H-127; said once even when the process dies after saying it."""
    effect = room.do("frobnicate")
    assert effect.state is EffectState.FAILED

    room.conn.execute("UPDATE effects SET state = 'running'")
    room.run()

    (note,) = room.notes()
    assert "'frobnicate'" in note


def test_deed_under_way_ends_when_it_says_so(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed")
    record(room, "next")
    deeds.answers["deed"] = [UnderWay()]
    runner = room.runner({"deed": deeds})
    runner.start()
    assert (state(room, "deed"), state(room, "next")) == (EffectState.RUNNING, EffectState.PENDING)

    deeds.contexts[0].complete("deed", Done("built"))
    wait_for(room, deeds, 2)
    deeds.contexts[0].complete("deed", Failed("said twice"))
    runner.close()

    assert room.effect("deed").result == "built"
    assert state(room, "next") is EffectState.DONE


def test_answer_to_an_earlier_attempt_counts_for_nothing(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed")
    deeds.answers["deed"] = [UnderWay(), UnderWay()]
    first = room.runner({"deed": deeds})
    first.start()
    first.close()
    second = room.runner({"deed": deeds})
    second.start()

    deeds.contexts[0].complete("deed", Failed("too late"))
    assert state(room, "deed") is EffectState.RUNNING
    deeds.contexts[1].complete("deed", Done("in time"))
    second.close()

    assert room.effect("deed").result == "in time"


def test_deed_that_ends_before_its_handler_returns(room: TaskRoom) -> None:
    record(room, "deed")

    def at_once(context: EffectContext, effect: Effect) -> HandlerResult:
        context.complete(effect.effect_id, Done("at once"))
        return UnderWay()

    room.run({"deed": at_once})

    assert room.effect("deed").result == "at once"


def test_a_request_that_fails_for_long_holds_up_nobody(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "hopeless", age_hours="0.2")
    record(room, "next")
    room.conn.execute("UPDATE effects SET attempts = 8 WHERE effect_id = 'hopeless'")
    deeds.answers["hopeless"] = [OSError("no such folder")]

    room.run({"deed": deeds})

    assert deeds.done == ["hopeless", "next"]
    assert state(room, "hopeless") is EffectState.PENDING


def test_an_old_request_that_only_waited_keeps_its_place(room: TaskRoom, deeds: Deeds) -> None:
    """As after a day without a host."""
    record(room, "first", age_hours="20")
    record(room, "second", age_hours="19")
    deeds.answers["first"] = [Again("busy", 0.1)]

    spin(room, deeds, 3)

    assert deeds.done == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("error", "words"),
    [(ZeroDivisionError("oh"), "oh"), (BadContent("half a request"), "half a request")],
)
def test_the_agent_learns_of_a_defect(
    room: TaskRoom, deeds: Deeds, error: Exception, words: str
) -> None:
    record(room, "deed")
    deeds.answers["deed"] = [error]

    room.run({"deed": deeds})

    (note,) = room.notes()
    assert words in note


def test_the_agent_learns_that_a_changed_payload_was_not_carried_out(
    room: TaskRoom, deeds: Deeds
) -> None:
    record(room, "deed", payload_hash=payload_hash("something else"))

    room.run({"deed": deeds})

    (note,) = room.notes()
    assert "nothing was done" in note


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (SessionFileCorrupt("/x", "malformed"), EffectState.FAILED),
        (ZeroDivisionError("oh"), EffectState.FAILED),
        (SessionFileBusy("/x", "SQLITE_BUSY"), EffectState.PENDING),
    ],
)
def test_a_later_step_may_fail_like_a_first_one(
    room: TaskRoom, deeds: Deeds, error: Exception, after: EffectState
) -> None:
    """Its error must not end the process, which would repeat it for ever."""
    record(room, "deed")
    deeds.answers["deed"] = [UnderWay()]
    runner = room.runner({"deed": deeds})
    runner.start()

    def step() -> HandlerResult:
        raise error

    deeds.contexts[0].go_on("deed", step)
    runner.close()

    assert state(room, "deed") is after


def test_a_later_step_of_an_earlier_attempt_is_not_taken(room: TaskRoom, deeds: Deeds) -> None:
    record(room, "deed")
    deeds.answers["deed"] = [UnderWay(), UnderWay()]
    for _ in range(2):
        runner = room.runner({"deed": deeds})
        runner.start()
        runner.close()
    taken: list[str] = []

    def step() -> HandlerResult:
        taken.append("step")
        return Done("built")

    deeds.contexts[0].go_on("deed", step)
    assert (taken, state(room, "deed")) == ([], EffectState.RUNNING)
    deeds.contexts[1].go_on("deed", step)

    assert (taken, state(room, "deed")) == (["step"], EffectState.DONE)
