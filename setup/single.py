"""The two small forms: one step for a program (--step), and looking without changing (--check).

Called by ``__main__``. ``--step`` ends with a status block on standard output (S-42), ``--check``
with exit code 0 or 3 (S-284).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from setup.base import Finding, Kind, Status, Step, StepResult
from setup.blocks import END, format_block
from setup.decide import ordered
from setup.flags import answer_flag
from setup.report import Mask, Report
from setup.screen import Screen
from setup.store import load_state, only_wizard
from setup.survey import Answers, collect_answers, look, look_with_defaults
from setup.trial import Trial
from setup.wizard import CANCELLED, USAGE, Task

OPEN_POINTS = 3


@dataclass(frozen=True, slots=True)
class NoLog:
    """For looks that must leave nothing behind."""

    file: Path = Path(os.devnull)

    def write(self, text: str) -> None:
        """Not kept."""

    def line(self, text: str) -> None:
        """Not kept."""


def check(task: Task, screen: Screen) -> int:
    """Every step is looked at; those that are done are proven."""
    config, mask = task.load(), Mask()
    answers = collect_answers(task.steps, task.given.answers, load_state(config.paths), mask)
    steps = {step.name: step for step in task.steps}
    is_open = False
    for name in ordered({step.name: step.needs for step in task.steps}):
        step = steps[name]
        if name in task.given.skip:
            continue
        finding = look(step, config, answers.known)
        if finding.done:
            trial = Trial(step, answers.known, task.load, task.program, NoLog(), mask)
            result = _hidden(trial.run(screen.progress, wants_apply=False), mask)
        else:
            result = StepResult(Status.FAILED, finding.blocked or finding.plan or finding.summary)
        good = result.status is not Status.FAILED
        is_open = is_open or not good
        screen.result("ok" if good else "open", f"{step.title}: {result.text}")
        if result.next_step:
            screen.text(f"Next: {result.next_step}")
        screen.line_of_json(
            {
                "step": name,
                "status": "success" if good else "open",
                "text": result.text,
                "fields": dict(result.fields),
                "next_step": result.next_step,
            }
        )
    screen.text(f"Open points; set them up with: {task.again}" if is_open else "All is in order.")
    return OPEN_POINTS if is_open else 0


def run_step(task: Task, screen: Screen, step: Step) -> int:
    """Never asks. A done step is applied again, which is harmless."""
    config, mask = task.load(), Mask()
    report = Report(config.paths.logs, mask)
    answers = collect_answers((step,), task.given.answers, load_state(config.paths), mask)
    finding, missing = look_with_defaults(step, config, answers)
    if missing:
        flags = ", ".join(answer_flag(question) for question in missing)
        _print_block(screen, step, StepResult(Status.FAILED, f"missing answer: {flags}"))
        return USAGE
    try:
        with only_wizard(config.paths):
            result = _try(task, step, finding, _completed(answers, step, finding), (report, mask))
    except KeyboardInterrupt:
        _print_block(screen, step, StepResult(Status.FAILED, "cancelled"))
        return CANCELLED
    _print_block(screen, step, _hidden(result, mask))
    return 1 if result.status is Status.FAILED else 0


def _completed(answers: Answers, step: Step, finding: Finding) -> dict[str, str]:
    """With the defaults that were taken for what nobody said."""
    known = dict(answers.known)
    for question in (*step.questions, *finding.questions):
        default = answers.default_of(question)
        if default is not None and question.kind is not Kind.SECRET:
            known.setdefault(question.key, default)
    return known


def _try(
    task: Task,
    step: Step,
    finding: Finding,
    answers: Mapping[str, str],
    logs: tuple[Report, Mask],
) -> StepResult:
    if finding.blocked:
        return StepResult(Status.FAILED, finding.blocked)
    report, mask = logs
    report.begin({"invocation": f"nanoclaw setup --step {step.name}"}, fresh=False)
    raw = report.open_raw(step.name)
    try:
        return Trial(step, answers, task.load, task.program, raw, mask).run(
            lambda *_: None, wants_apply=True
        )
    finally:
        raw.close()


def _hidden(result: StepResult, mask: Mask) -> StepResult:
    return StepResult(
        result.status,
        mask.hide(result.text),
        mask.hide_all(result.fields),
        mask.hide(result.next_step),
    )


def _print_block(screen: Screen, step: Step, result: StepResult) -> None:
    fields = {"STATUS": result.status.value}
    fields |= {key.upper().replace("-", "_"): value for key, value in result.fields.items()}
    if result.status is Status.FAILED:
        fields["ERROR"] = result.text
        fields["NEXT"] = result.next_step
    fields["LOG"] = "logs/setup.log"
    kind = step.name.upper().replace("-", "_")
    screen.block(format_block(kind, {key: value.replace(END, "") for key, value in fields.items()}))
