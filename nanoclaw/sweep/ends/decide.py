"""Decides what the end of a container leads to: for its session and for the messages it had taken.

Pure; called by ``sweep.settle`` and ``starter``. Every retry has a count, a growing delay and an
end that someone is told of. A message is to blame only for a crash while it was being worked on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from contract.exits import RunnerExit
from nanoclaw.sweep.decide import StopReason

MAX_TRIES = 5
MAX_TRIES_AT_A_LIMIT = 1
"""Doing the same again would end in the same way; once, so that the agent can try another one."""
TRY_BACKOFF_SECONDS = 5
START_BACKOFF_SECONDS = (1, 5, 10, 30, 60, 300)
TELL_AFTER_FAILURES = 5
QUICK_EXIT = timedelta(seconds=10)
UNTIL_SOMEBODY_ACTS = timedelta(days=36500)

COUNTS_AS_CRASH = frozenset({StopReason.STUCK, StopReason.OVERTIME, StopReason.DISK})
"""The turn itself is suspect, so its messages have used up a try."""


class ExitClass(StrEnum):
    PLANNED = "planned"
    CRASH = "crash"
    LATER = "try again later"
    CONFIG = "must be put right by somebody"
    UNKNOWN = "ended while nobody looked"


class Cause(StrEnum):
    """Why an agent died, as far as people can do something about it."""

    MEMORY = "it needed more memory than it may have"
    PROCESSES = "it started more programs than it may"
    TIME = "it took longer than it may"
    DISK = "its files take more space than they may"
    SILENT = "it gave no sign of life any more"
    OTHER = "it ended unexpectedly"


LIMITS = frozenset({Cause.MEMORY, Cause.PROCESSES, Cause.TIME, Cause.DISK})


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """How a container ended. ``code`` None: nobody knows any more."""

    now: datetime
    code: int | None
    stop_reason: StopReason | None
    out_of_memory: bool
    ran_for: timedelta
    open_claims: int
    settled_claims: int
    due_left: int
    spoke: bool
    """The container has written a message of its own, so its chat knows something already."""
    earlier_failures: int
    out_of_processes: bool = False


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """What follows. ``retry_at`` None: at once when something is due."""

    kind: ExitClass
    counts_try: bool
    retry_at: datetime | None = None
    error: str | None = None
    tell_chat: bool = False

    @property
    def failed(self) -> bool:
        return self.error is not None


def decide_exit(facts: ExitFacts) -> ExitPlan:
    """Claims of a crashed container have used up a try; the session itself waits only when the
    container never got as far as claiming anything."""
    kind = classify_exit(facts)
    match kind:
        case ExitClass.UNKNOWN:
            return ExitPlan(kind, counts_try=False)
        case ExitClass.CONFIG:
            return ExitPlan(
                kind,
                counts_try=False,
                retry_at=facts.now + UNTIL_SOMEBODY_ACTS,
                error="the runner reports a configuration that a restart cannot cure",
                tell_chat=not facts.spoke,
            )
        case ExitClass.LATER:
            deaf = facts.stop_reason is StopReason.DEAF
            asked = "the runner asked to be started again later"
            return _failed_start(facts, kind, StopReason.DEAF.value if deaf else asked)
        case ExitClass.CRASH:
            if facts.open_claims:
                return ExitPlan(kind, counts_try=True)
            if _had_worked(facts):
                return ExitPlan(kind, counts_try=False)
            return _failed_start(facts, kind, describe_exit(facts))
        case ExitClass.PLANNED:
            idle = not facts.settled_claims and facts.ran_for < QUICK_EXIT
            if idle and facts.due_left and facts.stop_reason is None:
                return _failed_start(facts, kind, "the runner left without taking up its messages")
            return ExitPlan(kind, counts_try=False)
        case _:
            assert_never(kind)


def _had_worked(facts: ExitFacts) -> bool:
    """It died between turns: a fresh container owes nothing to that one's end. Words of one that
    died at once prove nothing, or a runner that complains and crashes would do so for ever."""
    lasted = facts.ran_for >= QUICK_EXIT
    return bool(facts.settled_claims) or (lasted and (facts.spoke or not facts.due_left))


def classify_exit(facts: ExitFacts) -> ExitClass:
    if facts.stop_reason in COUNTS_AS_CRASH:
        return ExitClass.CRASH
    if facts.stop_reason is StopReason.DEAF:
        return ExitClass.LATER
    if facts.stop_reason is not None:
        return ExitClass.PLANNED
    if facts.code is None:
        return ExitClass.UNKNOWN
    return {
        RunnerExit.DONE: ExitClass.PLANNED,
        RunnerExit.TEMPFAIL: ExitClass.LATER,
        RunnerExit.CONFIG: ExitClass.CONFIG,
    }.get(RunnerExit(facts.code) if facts.code in _KNOWN else RunnerExit.FAILED, ExitClass.CRASH)


def cause_of(facts: ExitFacts) -> Cause:
    """For an end that is classified as a crash."""
    stopped = {
        StopReason.OVERTIME: Cause.TIME,
        StopReason.DISK: Cause.DISK,
        StopReason.STUCK: Cause.SILENT,
    }
    if facts.stop_reason in (StopReason.OVERTIME, StopReason.DISK):
        return stopped[facts.stop_reason]  # an earlier kill within the container changes nothing
    if facts.out_of_memory:
        return Cause.MEMORY
    if facts.out_of_processes:
        return Cause.PROCESSES
    if facts.stop_reason is not None:
        return stopped.get(facts.stop_reason, Cause.OTHER)
    return Cause.OTHER


_KNOWN = frozenset(int(code) for code in RunnerExit)


def describe_exit(facts: ExitFacts) -> str:
    """For people and logs."""
    if facts.out_of_memory:
        return Cause.MEMORY.value
    if facts.code is None:
        return "it ended and left no trace"
    if facts.code > 128:
        return f"killed by signal {facts.code - 128}"
    return f"exit code {facts.code}"


def start_delay(earlier_failures: int) -> timedelta:
    """After so many failed starts of one session."""
    last = len(START_BACKOFF_SECONDS) - 1
    return timedelta(seconds=START_BACKOFF_SECONDS[min(earlier_failures, last)])


def _failed_start(facts: ExitFacts, kind: ExitClass, error: str) -> ExitPlan:
    return ExitPlan(
        kind,
        counts_try=False,
        retry_at=facts.now + start_delay(facts.earlier_failures),
        error=error,
        tell_chat=facts.earlier_failures + 1 == TELL_AFTER_FAILURES and not facts.spoke,
    )


# --- what becomes of a claimed message ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It has crashed its container once too often; the chat is told."""


@dataclass(frozen=True, slots=True)
class Leave:
    """It waits for a later time already: this end was counted before."""


ClaimDecision = TryAgain | GiveUp | Leave


def decide_claim(
    now: datetime, tries: int, process_after: datetime | None, cause: Cause = Cause.OTHER
) -> ClaimDecision:
    """H-151: 5, 10, 20, 40, 80 seconds, then failed; at a limit sooner."""
    if process_after is not None and process_after > now:
        return Leave()
    if tries >= (MAX_TRIES_AT_A_LIMIT if cause in LIMITS else MAX_TRIES):
        return GiveUp()
    return TryAgain(now + timedelta(seconds=TRY_BACKOFF_SECONDS * 2**tries))
