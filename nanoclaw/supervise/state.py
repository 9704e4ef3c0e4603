"""The life of a child process as a pure table: state and event to next state and action.

Used by ``supervisor``, which reads the clock, owns the processes and carries the actions out.
What is wanted is kept apart from what is: the supervisor turns "wanted" into WANTED or UNWANTED
until both agree. A pair that is not in the table changes nothing; late reports of a process that
is being stopped are normal and must be harmless.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FATAL = "fatal"


class Event(StrEnum):
    WANTED = "wanted"
    UNWANTED = "unwanted"
    READY = "ready"
    FAILED = "failed"
    FAILED_FOR_GOOD = "failed_for_good"
    TIME_UP = "time_up"


class Action(StrEnum):
    NONE = "none"
    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"
    FORGIVE = "forgive"
    """Earlier failures no longer count: the child has been up for long enough."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where an event leads to, and what the supervisor does on the way."""

    state: State
    action: Action = Action.NONE


TABLE: dict[tuple[State, Event], Step] = {
    (State.STOPPED, Event.WANTED): Step(State.STARTING, Action.START),
    (State.STARTING, Event.READY): Step(State.RUNNING),
    (State.STARTING, Event.FAILED): Step(State.BACKOFF),
    (State.STARTING, Event.FAILED_FOR_GOOD): Step(State.FATAL),
    (State.STARTING, Event.UNWANTED): Step(State.STOPPING, Action.TERMINATE),
    (State.STARTING, Event.TIME_UP): Step(State.STARTING, Action.KILL),
    (State.RUNNING, Event.FAILED): Step(State.BACKOFF),
    (State.RUNNING, Event.FAILED_FOR_GOOD): Step(State.FATAL),
    (State.RUNNING, Event.UNWANTED): Step(State.STOPPING, Action.TERMINATE),
    (State.RUNNING, Event.TIME_UP): Step(State.RUNNING, Action.FORGIVE),
    (State.BACKOFF, Event.TIME_UP): Step(State.STARTING, Action.START),
    (State.BACKOFF, Event.UNWANTED): Step(State.STOPPED),
    (State.STOPPING, Event.FAILED): Step(State.STOPPED),
    (State.STOPPING, Event.FAILED_FOR_GOOD): Step(State.STOPPED),
    (State.STOPPING, Event.TIME_UP): Step(State.STOPPING, Action.KILL),
    (State.FATAL, Event.UNWANTED): Step(State.STOPPED),
}


def next_step(state: State, event: Event) -> Step:
    return TABLE.get((state, event), Step(state))


EXIT_TEMPFAIL = 75
EXIT_CONFIG = 78
EXIT_LOST = 255
"""What multiprocessing reports when the process that forks our children was killed itself."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a child is started again and when that is given up."""

    delays_seconds: tuple[float, ...] = (0.1, 1, 2, 4, 8, 16, 32, 60)
    """The first restart comes within a second; then a broken child costs less and less."""
    stable_seconds: float = 10
    """A child that was up this long starts again from the first delay when it dies."""
    crashes_until_fatal: int = 10
    """With the delays above: after about three minutes in which it never became stable."""
    start_limit_seconds: float = 120
    """Longer than any start that succeeds; a child that hangs is killed and counted."""
    kill_limit_seconds: float = 2
    """After SIGKILL only a process stuck in the kernel is still there."""

    def delay_seconds(self, ends: int) -> float:
        """Waiting time after so many ends in a row (1 or more)."""
        return self.delays_seconds[min(ends, len(self.delays_seconds)) - 1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exit means: the event for the table, and the tallies from now on."""

    event: Event
    tally: "Tally"


@dataclass(frozen=True, slots=True)
class Tally:
    """Ends in a row without a stable time between them; ``crashes`` are the child's own fault."""

    ends: int = 0
    crashes: int = 0


def judge_exit(code: int, before: Tally, policy: RestartPolicy) -> Verdict:
    """Whether a child that ended with ``code`` is worth another start.

    A temporary failure, and the death of the forking process, say nothing against the child:
    it is started again for ever, only with growing delay.
    """
    if code in (EXIT_TEMPFAIL, EXIT_LOST):
        return Verdict(Event.FAILED, Tally(before.ends + 1, before.crashes))
    tally = Tally(before.ends + 1, before.crashes + 1)
    hopeless = code == EXIT_CONFIG or tally.crashes >= policy.crashes_until_fatal
    return Verdict(Event.FAILED_FOR_GOOD if hopeless else Event.FAILED, tally)
