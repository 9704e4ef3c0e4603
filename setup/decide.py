"""The plan of a run: which steps, in which order, what each will do. Pure.

``wizard`` hands in what inspect saw and what the resume file says; the plan is shown before
anything happens. A step that is done but not known to have been verified is verified again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

SUCCESS = "success"


class Act(StrEnum):
    """What the run does with a step."""

    RUN = "run"
    VERIFY = "verify"
    """It looks done; an earlier run died before it was proven, or its facts have changed."""
    KEEP = "keep"
    LEAVE_OUT = "leave-out"
    WAIT = "wait"
    """Something that it needs is left out."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One step as it was found."""

    name: str
    needs: tuple[str, ...] = ()
    done: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Before:
    """What the resume file says of a step."""

    status: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of this run; ``only`` empty: everything."""

    skip: frozenset[str] = frozenset()
    only: str = ""
    redo: str = ""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    name: str
    act: Act
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    steps: tuple[PlannedStep, ...]

    @property
    def to_do(self) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.act in (Act.RUN, Act.VERIFY))

    def named(self, name: str) -> PlannedStep:
        return next(step for step in self.steps if step.name == name)


def decide_plan(seen: Sequence[Seen], before: Mapping[str, Before], wishes: Wishes) -> SetupPlan:
    """Every step once, needs first. Raises ValueError if steps need each other in a circle."""
    planned: dict[str, PlannedStep] = {}
    found = {step.name: step for step in seen}
    for name in ordered({step.name: step.needs for step in seen}):
        step = found[name]
        planned[name] = _decide_step(step, before.get(name), wishes, _unmet(step, found, planned))
    return SetupPlan(tuple(planned.values()))


def _decide_step(step: Seen, before: Before | None, wishes: Wishes, unmet: str) -> PlannedStep:
    if step.name in wishes.skip:
        return PlannedStep(step.name, Act.LEAVE_OUT, "left out by --skip")
    chosen = wishes.redo or wishes.only
    if chosen and step.name != chosen:
        return PlannedStep(step.name, Act.LEAVE_OUT, f"only {chosen} was asked for")
    if unmet:
        return PlannedStep(step.name, Act.WAIT, f"needs {unmet}")
    if wishes.redo:
        return PlannedStep(step.name, Act.RUN, "once more, as asked for")
    if not step.done:
        changed = before is not None and before.status == SUCCESS
        return PlannedStep(step.name, Act.RUN, "no longer as it was left" if changed else "")
    if before is None:
        return PlannedStep(step.name, Act.KEEP)
    if before.status != SUCCESS:
        return PlannedStep(step.name, Act.VERIFY, "the last run did not finish it")
    if dict(before.facts) != dict(step.facts):
        return PlannedStep(step.name, Act.VERIFY, "something about it has changed")
    return PlannedStep(step.name, Act.KEEP)


def _unmet(step: Seen, found: Mapping[str, Seen], planned: Mapping[str, PlannedStep]) -> str:
    """The needs that neither are there nor will be, as text."""
    missing = [
        need
        for need in step.needs
        if not found[need].done and planned[need].act in (Act.LEAVE_OUT, Act.WAIT)
    ]
    return ", ".join(missing)


def ordered(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Names in the table's order, each behind all that it needs. Raises ValueError."""
    result: list[str] = []
    waiting = {name: set(wanted) for name, wanted in needs.items()}
    unknown = sorted({need for wanted in waiting.values() for need in wanted} - set(waiting))
    if unknown:
        raise ValueError(f"no step is called {', '.join(unknown)}")
    while waiting:
        ready = next((name for name, wanted in waiting.items() if wanted <= set(result)), None)
        if ready is None:
            raise ValueError(f"steps need each other in a circle: {', '.join(waiting)}")
        result.append(ready)
        del waiting[ready]
    return result


def exit_code_of(outcomes: Mapping[str, str], plan: SetupPlan) -> int:
    """S-283 for a run that was neither cancelled nor refused: 0, 1 failed, 3 open points.

    ``outcomes``: step to status; a step called ``verify`` that fails is an open point, because
    everything before it worked.
    """
    bad = [name for name, status in outcomes.items() if status == "failed"]
    if any(name != "verify" for name in bad):
        return 1
    waiting = any(step.act is Act.WAIT for step in plan.steps)
    passed_over = any(
        step.name not in outcomes or outcomes[step.name] == "aborted" for step in plan.to_do
    )
    return 3 if bad or waiting or passed_over else 0
