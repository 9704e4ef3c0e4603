import pytest

from runner.gate.decide import (
    SHOWN_OUTPUT,
    Broken,
    ScriptRun,
    StayAsleep,
    Stopped,
    WakeAgent,
    failure_note,
    judge,
)


@pytest.mark.parametrize(
    ("output", "data"),
    [
        ('{"wakeAgent": true, "data": {"open": 3}}', {"open": 3}),
        ('{"wakeAgent": true, "data": 0}', 0),
        ('{"wakeAgent": true}', None),
        ('noise\n{"wakeAgent": false}\n{"wakeAgent": true}\n\n', None),
    ],
)
def test_last_line_wakes_the_agent(output: str, data: object) -> None:
    assert judge(ScriptRun(0, output)) == WakeAgent(data)


def test_last_line_lets_the_agent_sleep() -> None:
    assert judge(ScriptRun(0, '{"wakeAgent": false, "data": 1}')) == StayAsleep()


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(ScriptRun(1, '{"wakeAgent": true}'), id="status"),
        pytest.param(ScriptRun(None, stopped=Stopped.TOO_SLOW), id="too slow"),
        pytest.param(ScriptRun(None, stopped=Stopped.TOO_MUCH), id="too much"),
        pytest.param(ScriptRun(0, ""), id="no output"),
        pytest.param(ScriptRun(0, "done"), id="no JSON"),
        pytest.param(ScriptRun(0, "[true]"), id="no object"),
        pytest.param(ScriptRun(0, '{"wakeAgent": "yes"}'), id="no boolean"),
        pytest.param(ScriptRun(0, '{"data": 1}'), id="no answer"),
        pytest.param(ScriptRun(0, '{"wakeAgent": true}\nbye'), id="not the last line"),
    ],
)
def test_anything_else_is_a_failure(run: ScriptRun) -> None:
    assert isinstance(judge(run), Broken)


def test_note_says_what_went_wrong_and_shows_the_end_of_the_output() -> None:
    run = ScriptRun(2, "x" * 5000 + "END", "oops")

    note = failure_note("task-1", Broken("it ended with status 2"), run, 3)

    assert "task-1" in note
    assert "3 times in a row" in note
    assert note.endswith("END\noops")
    assert note.count("x") <= SHOWN_OUTPUT
