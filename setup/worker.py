"""Runs one verb of a step in a thread, with a time limit and an ear for Ctrl-C.

Called by ``wizard``. The thread is asked to stop and given a moment; one that does not listen is
left behind and ends with the program. Whatever a step raises becomes a Failure with one line.
"""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

LOOK_EVERY_SECONDS = 0.2
GRACE_SECONDS = 5.0

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Failure:
    """``trace`` goes into the raw log."""

    text: str
    trace: str = ""


@dataclass(slots=True)
class Cancel:
    """Handed to the step as ``is_cancelled``."""

    _asked: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        self._asked.set()

    def is_asked(self) -> bool:
        return self._asked.is_set()


class _Work(threading.Thread, Generic[_Result]):
    def __init__(self, job: Callable[[], _Result]) -> None:
        super().__init__(daemon=True, name="setup-step")
        self._job = job
        self.result: _Result | Failure | None = None

    def run(self) -> None:
        """The step's door: a step of somebody else may raise anything."""
        try:
            self.result = self._job()
        except Exception as error:  # noqa: BLE001  # the door; the trace goes into the raw log
            text = str(error) or type(error).__name__
            self.result = Failure(text, traceback.format_exc())


def run_bounded(
    job: Callable[[], _Result],
    limit: float,
    cancel: Cancel,
    tick: Callable[[float], None] = lambda _: None,
) -> _Result | Failure:
    """``tick`` hears the seconds so far. Raises KeyboardInterrupt after a step was told to stop."""
    work = _Work(job)
    began = time.monotonic()
    work.start()
    try:
        while work.is_alive():
            work.join(LOOK_EVERY_SECONDS)
            passed = time.monotonic() - began
            if not work.is_alive():
                break
            if passed > limit:
                cancel.ask()
                work.join(GRACE_SECONDS)
                return Failure(f"it took longer than its limit of {limit:g} s")
            tick(passed)
    except KeyboardInterrupt:
        cancel.ask()
        work.join(GRACE_SECONDS)
        raise
    return Failure("it ended without a result") if work.result is None else work.result
