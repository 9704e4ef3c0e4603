"""Looks at the steps and keeps the answers: from flags, variables, earlier runs and prompts.

Used by ``wizard`` for the plan and before each step. Looking changes nothing and has a limit; a
step whose look fails or hangs is shown as blocked with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nanoclaw.config import HostConfig
from setup.base import Finding, Kind, Question, Step
from setup.flags import what_is_wrong
from setup.report import Mask
from setup.state import STARTED, SetupState
from setup.worker import Cancel, Failure, run_bounded

LOOK_SECONDS = 60.0
MAX_ROUNDS = 20
"""A step may ask more when it has heard something, but not for ever."""


def look(step: Step, config: HostConfig, answers: Mapping[str, str]) -> Finding:
    found = run_bounded(lambda: step.inspect(config, dict(answers)), LOOK_SECONDS, Cancel())
    if isinstance(found, Failure):
        return Finding(
            done=False,
            summary="could not be looked at",
            blocked=f"looking at it failed: {found.text}",
        )
    return found


@dataclass(slots=True)
class Answers:
    """``known`` counts; ``offered`` are earlier ones that only stand as defaults."""

    known: dict[str, str] = field(default_factory=dict)
    offered: dict[str, str] = field(default_factory=dict)

    def still_open(self, questions: Sequence[Question]) -> list[Question]:
        return [question for question in questions if question.key not in self.known]

    def with_offer(self, question: Question) -> Question:
        """The question with what was answered before as its default."""
        offer = self.offered.get(question.key)
        if offer is None or question.kind is Kind.SECRET or what_is_wrong(question, offer):
            return question
        return replace(question, default=offer)

    def default_of(self, question: Question) -> str | None:
        """A default that would be refused as an answer is none."""
        default = self.with_offer(question).default
        if default is None or what_is_wrong(question, default):
            return None
        return default


def collect_answers(
    steps: Sequence[Step], given: Mapping[str, str], state: SetupState, mask: Mask
) -> Answers:
    """Flags and variables win over an earlier run. What that one was told counts for a step that
    it did not finish; for others it is only offered, because the owner may have changed things."""
    answers = Answers()
    for step in steps:
        record = state.steps.get(step.name)
        unfinished = record is None or record.status == STARTED
        for question in step.questions:
            if question.key in given:
                answers.known[question.key] = given[question.key]
                if question.kind is Kind.SECRET:
                    mask.add(given[question.key])
                continue
            earlier = state.answers.get(question.key)
            if earlier is None or question.kind is Kind.SECRET:
                continue
            if what_is_wrong(question, earlier) is None:
                (answers.known if unfinished else answers.offered)[question.key] = earlier
    return answers


def look_with_defaults(
    step: Step, config: HostConfig, answers: Answers
) -> tuple[Finding, list[Question]]:
    """What is found when nobody can be asked, and the questions that have no answer then."""
    trial = Answers(dict(answers.known), answers.offered)
    finding = look(step, config, trial.known)
    for _ in range(MAX_ROUNDS):
        waiting = trial.still_open(finding.questions)
        filled = [(question.key, trial.default_of(question)) for question in waiting]
        usable = {key: default for key, default in filled if default is not None}
        if not usable:
            break
        trial.known.update(usable)
        finding = look(step, config, trial.known)
    return finding, trial.still_open(finding.questions)
