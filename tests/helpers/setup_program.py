"""The wizard with made-up steps, as a program: ``python -m helpers.setup_program [flags]``.

Each step keeps a journal below the home folder, so that tests see what was applied and how often.
Files in the folder ``behave`` below the home change what a step does.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.waiting import wait_until

from nanoclaw.config import HostConfig
from setup.__main__ import main
from setup.base import Choice, Finding, Kind, Question, Status, StepContext, StepResult

COLOUR = Question(
    "colour", "colour", "Which colour", Kind.CHOICE,
    choices=(Choice("red", "Red"), Choice("green", "Green", "like grass")), default="red",
)  # fmt: skip
NAME = Question("name", "name", "Your name", help="It is shown to the agent.")
TOKEN = Question("token", "token", "The token", Kind.SECRET)
LOUD = Question("loud", "loud", "Make noise", Kind.YES_NO, default="false")


@dataclass(frozen=True)
class MadeUpStep:
    """Done when its file is there; the file holds the answers that may be seen."""

    name: str
    needs: Sequence[str] = ()
    questions: Sequence[Question] = ()
    seconds: float = 20.0

    @property
    def title(self) -> str:
        return f"Make {self.name}"

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        done = self._file(config).is_file()
        return Finding(
            done=done,
            summary=f"{self.name} is {'there' if done else 'missing'}",
            plan=f"write {self.name}",
            facts={"size": str(self._file(config).stat().st_size)} if done else {},
            questions=() if done else tuple(self.questions),
            blocked=f"run: unblock {self.name}" if self._behaves(config, "blocked") else "",
        )

    def apply(self, context: StepContext) -> StepResult:
        self._note(context, "apply")
        token = context.answers.get("token", "")
        context.raw(f"calling with {token[:7]}")
        context.raw(f"{token[7:]} now\n")
        context.say(f"working on {self.name} with {token}")
        if self._behaves(context.config, "wait"):
            (context.config.home / f"{self.name}.waits").touch()
            wait_until(context.is_cancelled, within=60)
            return StepResult(Status.FAILED, "stopped")
        if self._behaves(context.config, "raise"):
            raise RuntimeError(f"refused {token}")
        if self._behaves(context.config, "fail"):
            return StepResult(Status.FAILED, f"no luck with {token}", next_step="unfail it")
        self._file(context.config).write_text(context.answers.get("colour", "-"))
        return StepResult(Status.SUCCESS, "written", {"echo": token})

    def verify(self, context: StepContext) -> StepResult:
        self._note(context, "verify")
        if not self._file(context.config).is_file():
            return StepResult(Status.FAILED, "it is not there")
        return StepResult(Status.SUCCESS, f"{self.name} works")

    def _file(self, config: HostConfig) -> Path:
        return config.home / f"{self.name}.made"

    def _behaves(self, config: HostConfig, how: str) -> bool:
        return (config.home / "behave" / f"{self.name}.{how}").exists()

    def _note(self, context: StepContext, verb: str) -> None:
        with (context.config.home / "journal").open("a") as journal:
            journal.write(f"{self.name} {verb}\n")


STEPS = (
    MadeUpStep("alpha"),
    MadeUpStep("beta", needs=("alpha",), questions=(NAME, COLOUR, TOKEN)),
    MadeUpStep("gamma", needs=("beta",), questions=(LOUD,)),
)

if __name__ == "__main__":
    sys.exit(main(steps=STEPS))
