import pytest

from nanoclaw.supervise.state import (
    TABLE,
    Action,
    Event,
    RestartPolicy,
    State,
    Step,
    Tally,
    judge_exit,
    next_step,
)

POLICY = RestartPolicy()

EXPECTED = {
    State.STOPPED: {Event.WANTED: (State.STARTING, Action.START)},
    State.STARTING: {
        Event.READY: (State.RUNNING, Action.NONE),
        Event.UNWANTED: (State.STOPPING, Action.TERMINATE),
        Event.FAILED: (State.BACKOFF, Action.NONE),
        Event.FAILED_FOR_GOOD: (State.FATAL, Action.NONE),
        Event.TIME_UP: (State.STARTING, Action.KILL),
    },
    State.RUNNING: {
        Event.UNWANTED: (State.STOPPING, Action.TERMINATE),
        Event.FAILED: (State.BACKOFF, Action.NONE),
        Event.FAILED_FOR_GOOD: (State.FATAL, Action.NONE),
        Event.TIME_UP: (State.RUNNING, Action.FORGIVE),
    },
    State.BACKOFF: {
        Event.TIME_UP: (State.STARTING, Action.START),
        Event.UNWANTED: (State.STOPPED, Action.NONE),
    },
    State.STOPPING: {
        Event.FAILED: (State.STOPPED, Action.NONE),
        Event.FAILED_FOR_GOOD: (State.STOPPED, Action.NONE),
        Event.TIME_UP: (State.STOPPING, Action.KILL),
    },
    State.FATAL: {Event.UNWANTED: (State.STOPPED, Action.NONE)},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_event_in_every_state_leads_where_it_should(state: State, event: Event) -> None:
    expected = EXPECTED[state].get(event, (state, Action.NONE))

    assert next_step(state, event) == Step(*expected)


def test_table_has_no_row_that_changes_nothing() -> None:
    idle = [key for key, step in TABLE.items() if step == Step(key[0])]

    assert idle == []


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_unwanted_child_always_ends_stopped(state: State) -> None:
    for event in (Event.UNWANTED, Event.TIME_UP, Event.FAILED):
        state = next_step(state, event).state

    assert state is State.STOPPED


def test_first_restart_comes_within_a_second_and_the_delay_grows_to_a_minute() -> None:
    delays = [POLICY.delay_seconds(ends) for ends in range(1, 12)]

    assert delays[0] < 1
    assert delays[1:7] == [1, 2, 4, 8, 16, 32]
    assert delays[7:] == [60] * 4


@pytest.mark.parametrize(
    ("code", "before", "event", "after"),
    [
        pytest.param(1, Tally(), Event.FAILED, Tally(1, 1), id="first crash"),
        pytest.param(-9, Tally(2, 2), Event.FAILED, Tally(3, 3), id="killed"),
        pytest.param(0, Tally(), Event.FAILED, Tally(1, 1), id="left unasked"),
        pytest.param(1, Tally(9, 9), Event.FAILED_FOR_GOOD, Tally(10, 10), id="tenth crash"),
        pytest.param(78, Tally(), Event.FAILED_FOR_GOOD, Tally(1, 1), id="wrong setting"),
        pytest.param(75, Tally(50, 0), Event.FAILED, Tally(51, 0), id="temporary for ever"),
        pytest.param(255, Tally(50, 3), Event.FAILED, Tally(51, 3), id="forkserver killed"),
        pytest.param(1, Tally(50, 0), Event.FAILED, Tally(51, 1), id="crash after temporary"),
    ],
)
def test_exit_code_and_history_decide_about_another_start(
    code: int, before: Tally, event: Event, after: Tally
) -> None:
    verdict = judge_exit(code, before, POLICY)

    assert (verdict.event, verdict.tally) == (event, after)
