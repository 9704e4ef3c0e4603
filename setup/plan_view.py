"""The plan on the screen and as JSON, before anything happens. Called by ``wizard``."""

from collections.abc import Mapping

from setup.base import Finding, Step
from setup.decide import Act, PlannedStep, SetupPlan
from setup.flags import answer_flag
from setup.screen import Screen
from setup.survey import Answers

INDENT = " " * 6


def plan_mark(planned: PlannedStep) -> str:
    marks = {
        Act.RUN: "to do",
        Act.VERIFY: "check",
        Act.KEEP: "done",
        Act.LEAVE_OUT: "left out",
        Act.WAIT: "open",
    }
    return marks[planned.act]


def show_plan(
    screen: Screen,
    plan: SetupPlan,
    steps: Mapping[str, Step],
    findings: Mapping[str, Finding],
    answers: Answers,
) -> None:
    screen.text()
    for number, planned in enumerate(plan.steps, start=1):
        finding = findings[planned.name]
        screen.text(f"{number:>2}. [{plan_mark(planned)}] {steps[planned.name].title}")
        about = finding.plan if planned.act is Act.RUN else finding.summary
        for line in (planned.reason, finding.blocked or about):
            if line:
                screen.text(line, indent=INDENT)
        waiting = answers.still_open(finding.questions)
        if planned.act is Act.RUN and waiting:
            screen.text("asks: " + ", ".join(question.text for question in waiting), indent=INDENT)
    screen.text()


def tell_plan(
    screen: Screen, plan: SetupPlan, findings: Mapping[str, Finding], answers: Answers
) -> None:
    for planned in plan.steps:
        finding = findings[planned.name]
        waiting = answers.still_open(finding.questions)
        screen.line_of_json(
            {
                "step": planned.name,
                "act": planned.act.value,
                "reason": planned.reason,
                "summary": finding.summary,
                "plan": finding.plan,
                "blocked": finding.blocked,
                "questions": [answer_flag(question) for question in waiting],
            }
        )
