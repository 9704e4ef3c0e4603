"""One run of the wizard: plan, then per step inspect, questions, apply, verify, record.

Called by ``__main__``. The plan is shown before anything happens; every step is recorded before
and after, so that a killed run is gone on with. Only this file changes the resume file.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract.clock import to_text, utc_now
from contract.killpoint import reached
from nanoclaw.config import HostConfig
from nanoclaw.version import VERSION
from setup.base import (
    REDO,
    Choice,
    Finding,
    Kind,
    Question,
    Status,
    Step,
    StepResult,
)
from setup.decide import Act, Before, PlannedStep, Seen, SetupPlan, Wishes, decide_plan
from setup.decide import exit_code_of as decide_exit_code
from setup.flags import Given, answer_flag
from setup.plan_view import plan_mark, show_plan, tell_plan
from setup.prompts import Cancelled, ask
from setup.report import Entry, Mask, RawLog, Report
from setup.screen import Screen
from setup.state import STARTED, SetupState, StepRecord
from setup.store import load_state, only_wizard, save_state
from setup.survey import MAX_ROUNDS, Answers, collect_answers, look, look_with_defaults
from setup.trial import Trial

CANCELLED = 130
USAGE = 2
SHOWN_LINES = 40
PASSED_OVER = "aborted"
RETRY, SKIP, STOP = "retry", "skip", "stop"
AFTER_FAILURE = (
    Choice(RETRY, "Try it again"),
    Choice(SKIP, "Go on without it", "it stays an open point"),
    Choice(STOP, "Stop here", "a later nanoclaw setup goes on"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is given. ``load`` reads the settings anew, because steps change them; ``again``
    is the command that goes on with this run."""

    steps: tuple[Step, ...]
    given: Given
    load: Callable[[], HostConfig]
    program: tuple[str, ...]
    again: str


class Wizard:
    """The state of one run; ``run`` returns the exit code."""

    def __init__(self, task: Task, screen: Screen) -> None:
        self._task = task
        self._screen = screen
        self._steps = {step.name: step for step in task.steps}
        self._mask = Mask()
        self._config = task.load()
        self._state = load_state(self._config.paths)
        self._report = Report(self._config.paths.logs, self._mask)
        self._outcomes: dict[str, str] = {}
        self._at = "plan"
        self._wishes = Wishes(
            task.given.skip, task.given.values.get("only", ""), task.given.values.get("redo", "")
        )
        if task.given.is_on("start-over"):
            self._state = SetupState()
        self._asks = screen.look.interactive and not (
            task.given.is_on("yes") or task.given.is_on("non-interactive")
        )
        self._answers = self._collect()

    def run(self) -> int:
        self._screen.text(f"nanoclaw {VERSION} setup in {self._config.home}")
        if self._task.given.is_on("dry-run"):
            return self._dry_run()
        missing = [] if self._asks else self._plan()[2]
        if missing:
            return self._refuse(missing)
        with only_wizard(self._config.paths):
            self._state = SetupState() if self._starts_over else load_state(self._config.paths)
            began = time.monotonic()
            try:
                return self._run(began)
            except (KeyboardInterrupt, Cancelled):
                return self._cancelled()

    @property
    def _starts_over(self) -> bool:
        return self._task.given.is_on("start-over")

    # --- the plan

    def _collect(self) -> Answers:
        return collect_answers(
            self._task.steps, self._task.given.answers, self._state, self._mask
        )  # fmt: skip

    def _plan(self) -> tuple[SetupPlan, dict[str, Finding], list[str]]:
        """The plan, what it was made of, and the flags that would be needed without a person."""
        findings: dict[str, Finding] = {}
        without: dict[str, list[Question]] = {}
        for step in self._task.steps:
            findings[step.name], without[step.name] = look_with_defaults(
                step, self._config, self._answers
            )
        seen = [
            Seen(name, tuple(self._steps[name].needs), finding.done, finding.facts)
            for name, finding in findings.items()
        ]
        before = {
            name: Before(record.status, record.facts) for name, record in self._state.steps.items()
        }
        plan = decide_plan(seen, before, self._wishes)
        missing = [
            answer_flag(question)
            for planned in plan.to_do
            if planned.act is Act.RUN
            for question in without[planned.name]
        ]
        return plan, findings, list(dict.fromkeys(missing))

    def _show_plan(self, plan: SetupPlan, findings: Mapping[str, Finding]) -> None:
        show_plan(self._screen, plan, self._steps, findings, self._answers)

    def _dry_run(self) -> int:
        plan, findings, missing = self._plan()
        self._show_plan(plan, findings)
        tell_plan(self._screen, plan, findings, self._answers)
        if missing:
            self._screen.text("Without a terminal these would be needed: " + ", ".join(missing))
        self._screen.text("Nothing was changed.")
        return 0

    # --- the run

    def _run(self, began: float) -> int:
        if self._asks:
            self._offer_to_go_on()
        plan, findings, _ = self._plan()
        self._show_plan(plan, findings)
        if plan.to_do and self._asks and not self._confirmed():
            raise Cancelled
        one_only = bool(self._wishes.only or self._wishes.redo)
        fresh = not (self._state.is_resumable or one_only)
        if fresh or not self._state.started_at:
            self._state = replace(self._state, started_at=to_text(utc_now()), finished_at="")
        header = {"version": VERSION, "invocation": "nanoclaw setup", "cwd": str(self._config.home)}
        self._report.begin(header, fresh=fresh)
        for planned in plan.steps:
            if not self._go_through(planned, findings[planned.name]):
                break
        return self._finish(plan, time.monotonic() - began)

    def _refuse(self, missing: Sequence[str]) -> int:
        for flag in missing:
            sys.stderr.write(f"error: missing answer: {flag}\n")
        self._screen.line_of_json({"status": "refused", "missing": list(missing)})
        self._screen.text("Nothing was changed; nanoclaw setup --help lists all flags.")
        return USAGE

    def _offer_to_go_on(self) -> None:
        """What is done already, and what to do about it (S-41)."""
        if not self._state.steps or self._wishes.only or self._wishes.redo or self._starts_over:
            return
        done = [name for name, record in self._state.steps.items() if record.status == "success"]
        self._screen.text("An earlier run has finished: " + (", ".join(done) or "nothing yet"))
        choices = (
            Choice("continue", "Go on"),
            Choice("start-over", "Start over", "everything is asked and checked again"),
            Choice(REDO, "Do one step again"),
        )
        chosen = self._ask(_choice("resume", "What now?", choices))
        if chosen == "start-over":
            self._state = SetupState()
        elif chosen == REDO:
            steps = tuple(Choice(step.name, step.title) for step in self._task.steps)
            self._wishes = replace(
                self._wishes, redo=self._ask(_choice("redo_step", "Which one?", steps))
            )
        self._answers = self._collect()

    def _confirmed(self) -> bool:
        question = Question("go", "go", "Do this now?", Kind.YES_NO, default="true")
        return self._ask(question) == "true"

    def _ask(self, question: Question) -> str:
        return ask(question, plain=self._screen.look.plain, show=self._screen.text)

    def _go_through(self, planned: PlannedStep, finding: Finding) -> bool:
        """False: the run stops here."""
        if planned.act in (Act.LEAVE_OUT, Act.WAIT, Act.KEEP):
            self._note(planned, finding)
            return True
        unmet = [
            need
            for need in self._steps[planned.name].needs
            if self._outcomes.get(need) in ("failed", PASSED_OVER)
        ]
        if unmet:
            self._outcomes[planned.name] = PASSED_OVER
            self._screen.result("open", f"{self._steps[planned.name].title}: needs {unmet[0]}")
            self._tell(planned.name, PASSED_OVER, StepResult(Status.SKIPPED, f"needs {unmet[0]}"))
            return True
        while True:
            result = self._do(planned)
            if result.status is not Status.FAILED:
                return True
            chosen = self._ask_after_failure()
            if chosen != RETRY:
                self._outcomes[planned.name] = PASSED_OVER if chosen == SKIP else "failed"
                return chosen == SKIP

    def _note(self, planned: PlannedStep, finding: Finding) -> None:
        kept = planned.act is Act.KEEP
        self._screen.result(plan_mark(planned), finding.summary if kept else
                            f"{self._steps[planned.name].title}: {planned.reason}")  # fmt: skip
        self._report.step(Entry(planned.name, "skipped", to_text(utc_now()), 0.0,
                                {"reason": planned.reason or "done already"}))  # fmt: skip
        self._tell(planned.name, "skipped",
                   StepResult(Status.SKIPPED, planned.reason or finding.summary))  # fmt: skip
        if kept:
            self._remember(planned.name, Status.SUCCESS, {}, finding.facts)

    def _ask_after_failure(self) -> str:
        if not self._asks:
            return STOP
        return self._ask(_choice("after_failure", "What now?", AFTER_FAILURE))

    def _do(self, planned: PlannedStep) -> StepResult:
        """One try of one step, recorded."""
        step = self._steps[planned.name]
        self._at = step.name
        self._config = self._task.load()
        finding = self._answered(step)
        began, started_at = time.monotonic(), to_text(utc_now())
        self._keep_answers(step)
        self._remember(step.name, STARTED, {}, {})
        reached("setup.started")
        raw = self._report.open_raw(step.name)
        self._screen.begin_step(step.title)
        trial = Trial(step, self._told(step), self._task.load, self._task.program, raw, self._mask)
        wants_apply = planned.act is Act.RUN and not (finding.done and not self._wishes.redo)
        try:
            result = StepResult(Status.FAILED, finding.blocked)
            if not finding.blocked:
                result = trial.run(self._screen.progress, wants_apply=wants_apply)
        finally:
            raw.close()
        self._config = self._task.load()
        self._record(step, result, raw, (started_at, time.monotonic() - began))
        return result

    def _answered(self, step: Step) -> Finding:
        """What is found with every question answered; asks where a person sits there."""
        finding = look(step, self._config, self._told(step))
        for _ in range(MAX_ROUNDS):
            waiting = self._answers.still_open(finding.questions)
            if finding.blocked or not waiting:
                return finding
            for question in waiting:
                if not self._answer(question):
                    return replace(finding, blocked=f"missing answer: {answer_flag(question)}")
            finding = look(step, self._config, self._told(step))
        return replace(finding, blocked=f"it asked more than {MAX_ROUNDS} times; please report it")

    def _keep_answers(self, step: Step) -> None:
        """Also those of flags and variables, so that a run without them can go on with this one."""
        for question in step.questions:
            if question.kind is not Kind.SECRET and question.key in self._answers.known:
                known = self._answers.known[question.key]
                self._state = self._state.with_answer(question.key, known)

    def _told(self, step: Step) -> dict[str, str]:
        redo = {REDO: "true"} if self._wishes.redo == step.name else {}
        return {**self._answers.known, **redo}

    def _answer(self, question: Question) -> bool:
        """False: nobody can be asked and there is no default."""
        if self._asks:
            answer = self._ask(self._answers.with_offer(question))
        else:
            default = self._answers.default_of(question)
            if default is None:
                return False
            answer = default
        self._answers.known[question.key] = answer
        is_secret = question.kind is Kind.SECRET
        if is_secret:
            self._mask.add(answer)
        else:
            self._state = self._state.with_answer(question.key, answer)
        self._report.answer(question.key, answer, secret=is_secret)
        return True

    def _record(self, step: Step, result: StepResult, raw: RawLog, when: tuple[str, float]) -> None:
        started_at, seconds = when
        fields = self._mask.hide_all(result.fields)
        failed = result.status is Status.FAILED
        facts = {} if failed else dict(look(step, self._config, self._told(step)).facts)
        self._outcomes[step.name] = result.status.value
        self._remember(step.name, result.status, fields, facts)
        reached("setup.recorded")
        self._report.step(
            Entry(step.name, result.status.value, started_at, seconds, fields, raw.file)
        )
        self._tell(step.name, result.status.value, result, seconds, raw.file)
        mark = {"success": "done", "skipped": "skip", "failed": "FAIL"}[result.status.value]
        self._screen.result(mark, self._mask.hide(f"{step.title}: {result.text}"), seconds)
        if failed:
            self._explain(result, raw.file)

    def _explain(self, result: StepResult, raw: Path) -> None:
        lines = raw.read_text(errors="replace").splitlines()[2:][-SHOWN_LINES:]
        for line in lines:
            self._screen.text(line, indent="     | ")
        if result.next_step:
            self._screen.text(f"Next: {self._mask.hide(result.next_step)}")
        self._screen.text(f"All of its output: {raw}")

    def _remember(
        self, name: str, status: str, fields: Mapping[str, str], facts: Mapping[str, str]
    ) -> None:
        moment = "" if status == STARTED else to_text(utc_now())
        record = StepRecord(str(status), moment, fields, self._mask.hide_all(facts))
        self._state = self._state.with_step(name, record)
        save_state(self._config.paths, self._state)

    def _tell(
        self, name: str, status: str, result: StepResult, seconds: float = 0.0,
        raw: Path | None = None,
    ) -> None:  # fmt: skip
        self._screen.line_of_json(
            {
                "step": name,
                "status": status,
                "text": self._mask.hide(result.text),
                "fields": self._mask.hide_all(result.fields),
                "seconds": round(seconds, 3),
                "next_step": self._mask.hide(result.next_step),
                "log": "" if raw is None else str(raw),
            }
        )

    def _finish(self, plan: SetupPlan, seconds: float) -> int:
        code = decide_exit_code(self._outcomes, plan)
        self._screen.text()
        if code == 0:
            if not (self._wishes.only or self._wishes.redo):
                self._state = replace(self._state, finished_at=to_text(utc_now()))
                save_state(self._config.paths, self._state)
            self._report.completed(seconds)
            whole = not any(step.act is Act.LEAVE_OUT for step in plan.steps)
            proven = "every step was verified" if whole else "what was not left out was verified"
            self._screen.text(f"Setup is finished; {proven}.")
        else:
            self._report.aborted(self._at, "a step failed" if code == 1 else "open points")
            word = "A step failed" if code == 1 else "Setup is finished, with open points"
            self._screen.text(f"{word}. Go on with: {self._task.again}")
        self._screen.text(f"Log: {self._report.log_file}")
        self._screen.line_of_json({"status": "finished" if code == 0 else "stopped", "exit": code})
        return code

    def _cancelled(self) -> int:
        self._report.aborted(self._at, "cancelled")
        self._screen.text()
        self._screen.text(f"Stopped; what is done stays done. Go on with: {self._task.again}")
        self._screen.line_of_json({"step": self._at, "status": "aborted", "exit": CANCELLED})
        return CANCELLED


def _choice(key: str, text: str, choices: tuple[Choice, ...]) -> Question:
    return Question(key, key, text, Kind.CHOICE, default=choices[0].value, choices=choices)
