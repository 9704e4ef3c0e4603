"""The plan and the way back into an interrupted run (scenario 82)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from setup.decide import Act, Before, Seen, Wishes, decide_plan, exit_code_of, ordered

NAMES = ("a", "b", "c", "d")


def act(seen: Seen, before: Before | None = None, **wishes: object) -> Act:
    earlier = {seen.name: before} if before else {}
    return decide_plan([seen], earlier, Wishes(**wishes)).steps[0].act  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("done", "before", "expected"),
    [
        (False, None, Act.RUN),
        (False, Before("success"), Act.RUN),
        (False, Before("started"), Act.RUN),
        (True, None, Act.KEEP),
        (True, Before("success"), Act.KEEP),
        (True, Before("started"), Act.VERIFY),
        (True, Before("failed"), Act.VERIFY),
        (True, Before("success", {"version": "1"}), Act.VERIFY),
    ],
)
def test_what_is_done_with_a_step(done: bool, before: Before | None, expected: Act) -> None:
    assert act(Seen("a", done=done), before) is expected


def test_redo_runs_what_is_done_and_nothing_else() -> None:
    plan = decide_plan([Seen("a", done=True), Seen("b")], {}, Wishes(redo="a"))

    assert [step.act for step in plan.steps] == [Act.RUN, Act.LEAVE_OUT]


def test_who_needs_a_step_that_is_left_out_waits() -> None:
    seen = [Seen("a"), Seen("b", needs=("a",)), Seen("c", needs=("b",)), Seen("d")]
    plan = decide_plan(seen, {}, Wishes(skip=frozenset({"a"})))

    assert [step.act for step in plan.steps] == [Act.LEAVE_OUT, Act.WAIT, Act.WAIT, Act.RUN]
    assert exit_code_of({"d": "success"}, plan) == 3


def test_a_left_out_step_that_is_done_already_holds_nobody_up() -> None:
    seen = [Seen("a", done=True), Seen("b", needs=("a",))]

    assert decide_plan(seen, {}, Wishes(skip=frozenset({"a"}))).named("b").act is Act.RUN


def test_circles_and_unknown_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        ordered({"a": ["b"], "b": ["a"]})
    with pytest.raises(ValueError, match="ghost"):
        ordered({"a": ["ghost"]})


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ({"a": "success", "verify": "success"}, 0),
        ({"a": "success", "verify": "skipped"}, 0),
        ({"a": "failed"}, 1),
        ({"a": "success", "verify": "failed"}, 3),
        ({"a": "aborted", "verify": "success"}, 3),
    ],
)
def test_exit_codes(outcomes: dict[str, str], code: int) -> None:
    plan = decide_plan([Seen("a"), Seen("verify")], {}, Wishes())

    assert exit_code_of(outcomes, plan) == code


def graphs() -> some.SearchStrategy[list[Seen]]:
    def build(rows: list[tuple[bool, set[int]]]) -> list[Seen]:
        return [
            Seen(NAMES[i], tuple(NAMES[j] for j in sorted(needs) if j < i), done=done)
            for i, (done, needs) in enumerate(rows)
        ]

    row = some.tuples(some.booleans(), some.sets(some.integers(0, 3)))
    return some.lists(row, min_size=4, max_size=4).map(build)


@given(graphs(), some.permutations(range(4)))
@settings(deadline=None, max_examples=60)
def test_every_step_is_planned_once_and_behind_its_needs(
    seen: list[Seen], order: list[int]
) -> None:
    plan = decide_plan([seen[i] for i in order], {}, Wishes())
    names = [step.name for step in plan.steps]

    assert sorted(names) == list(NAMES)
    for step in seen:
        assert all(names.index(need) < names.index(step.name) for need in step.needs)


@given(graphs(), some.lists(some.sampled_from(["before", "applied"]), max_size=12))
@settings(deadline=None, max_examples=60)
def test_however_often_it_is_killed_every_step_is_proven_and_none_applied_twice(
    seen: list[Seen], deaths: list[str]
) -> None:
    """A small wizard: each death loses what was not recorded; the last run is left in peace."""
    there = {step.name for step in seen if step.done}
    at_first = set(there)
    records: dict[str, Before] = {}
    applied: list[str] = []
    for death in [*deaths, ""]:
        now = [Seen(step.name, step.needs, step.name in there) for step in seen]
        for step in decide_plan(now, records, Wishes()).to_do:
            records[step.name] = Before("started")
            if death == "before":
                break
            if step.act is Act.RUN:
                applied.append(step.name)
                there.add(step.name)
            if death == "applied":
                break
            records[step.name] = Before("success")

    assert sorted(applied) == sorted(set(NAMES) - at_first)
    assert {name for name, record in records.items() if record.status == "success"} == set(applied)
