"""Entry of the container: ``python -P -m runner`` with ``PYTHONPATH=/app``.

Nothing is imported before two things are done: the garbage collector is off, because with it
loading the program takes a tenth longer and a cold start is what a person waits for; and a stop
that comes while we load ends us like any other, since nothing is claimed yet.
"""

import gc
import os
import signal
import sys
from types import FrameType

from contract.exits import RunnerExit


def main() -> int:
    gc.disable()
    signal.signal(signal.SIGTERM, _leave)
    from runner.program import main as run

    return run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(RunnerExit.DONE)


if __name__ == "__main__":
    sys.exit(main())
