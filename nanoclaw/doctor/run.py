"""Does the checks, each in a worker with a time limit, and the cures that are asked for.

Called by ``nanoclaw doctor`` and by the support bundle. A check that fails or does not come back
is reported as such and keeps none of the others from being done.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts
from nanoclaw.errors import NanoclawError

CHECK_SECONDS = 15.0


class State(StrEnum):
    GOOD = "good"
    FOUND = "found"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reason``: why it was skipped or has failed."""

    check: Check
    state: State
    finding: Finding | None = None
    reason: str = ""

    @property
    def severity(self) -> Severity | None:
        """A check that cannot be done is a warning: nobody knows then."""
        if self.state is State.FAILED:
            return Severity.WARNING
        return self.check.severity if self.state is State.FOUND else None


def examine(
    facts: Facts, checks: Iterable[Check], *, seconds: float = CHECK_SECONDS
) -> list[Outcome]:
    return [_examine_one(facts, check, seconds) for check in checks]


def cure(facts: Facts, outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """What was done by id, in words; a cure that fails says why."""
    done = []
    for outcome in outcomes:
        if outcome.state is not State.FOUND or outcome.check.cure is None:
            continue
        try:
            text = outcome.check.cure(facts)
        except (NanoclawError, OSError) as error:
            text = f"not done: {error}"
        done.append((outcome.check.id, text))
    return done


def _examine_one(facts: Facts, check: Check, seconds: float) -> Outcome:
    if check.needs_network and not facts.online:
        return Outcome(check, State.SKIPPED, reason="only with --online")
    found: list[Outcome] = []
    worker = threading.Thread(target=lambda: found.append(_look(facts, check)), daemon=True)
    worker.start()
    worker.join(seconds)
    if not found:
        return Outcome(check, State.FAILED, reason=f"no answer within {seconds:g} seconds")
    return found[0]


def _look(facts: Facts, check: Check) -> Outcome:
    try:
        finding = check.inspect(facts)
    except (CannotLookError, PermissionError) as error:  # whose files they are is a check too
        return Outcome(check, State.SKIPPED, reason=str(error))
    except Exception as error:  # noqa: BLE001 one check that nobody foresaw must not stop all others
        return Outcome(check, State.FAILED, reason=f"{type(error).__name__}: {error}")
    return Outcome(check, State.GOOD if finding is None else State.FOUND, finding)
