"""One try of one step: apply, then verify, each in a worker with the step's time limit.

Made by ``wizard`` and ``single``. What the step says and prints goes through the mask.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from contract.killpoint import reached
from nanoclaw.config import HostConfig
from setup.base import Status, Step, StepContext, StepResult
from setup.report import Mask
from setup.worker import Cancel, Failure, run_bounded

Progress = Callable[[str, float, float], None]
"""Label, seconds so far, limit."""


class Raw(Protocol):
    """Where the output of a step goes."""

    @property
    def file(self) -> Path: ...

    def write(self, text: str) -> None: ...

    def line(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Trial:
    step: Step
    answers: Mapping[str, str]
    load: Callable[[], HostConfig]
    program: tuple[str, ...]
    raw: Raw
    mask: Mask

    def run(self, progress: Progress, *, wants_apply: bool) -> StepResult:
        """A step counts as done only when verify says so."""
        fields: Mapping[str, str] = {}
        if wants_apply:
            applied = self._bounded(self.step.apply, progress)
            if applied.status is not Status.SUCCESS:
                return applied
            fields = applied.fields
        reached("setup.applied")
        verified = self._bounded(self.step.verify, progress)
        return replace(verified, fields={**fields, **verified.fields})

    def _bounded(self, verb: Callable[[StepContext], StepResult], progress: Progress) -> StepResult:
        cancel = Cancel()
        label = [self.step.title]

        def say(text: str) -> None:
            self.raw.line(text)
            label[0] = self.mask.hide(text)

        context = StepContext(
            config=self.load(),
            answers=self.answers,
            say=say,
            raw=self.raw.write,
            is_cancelled=cancel.is_asked,
            program=self.program,
            log_file=self.raw.file,
        )
        limit = self.step.seconds
        result = run_bounded(
            lambda: verb(context), limit, cancel, lambda passed: progress(label[0], passed, limit)
        )
        if not isinstance(result, Failure):
            return result
        self.raw.line(result.trace or result.text)
        return StepResult(Status.FAILED, result.text)
