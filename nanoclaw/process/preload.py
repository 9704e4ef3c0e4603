"""What the process that forks our children imports once for all of them.

Named by ``nanoclaw.daemon``; imported by the forkserver and by nobody else. With every child's
code in here its memory is shared, and a child that is restarted is ready at once. It comes in two
halves, measured: the terminal channel, which people wait for, is forked when the first half is
there; the second is imported right after that. The Docker library is in neither, because it comes
with the first container; neither are the preflight, which runs once, and what only some requests
need (``handlers``, commands). Nothing here may start a thread or open a file.
"""

import contextlib
import gc
import importlib
import os
import sys

from nanoclaw.process.heap import fill_gaps

FIRST_HALF = (
    "multiprocessing.popen_forkserver",
    "zoneinfo",
    "nanoclaw.daemon",
    "nanoclaw.channels.cli.adapter",
    "nanoclaw.process.channel",
)
SECOND_HALF = (
    "nanoclaw.process.router",
    "nanoclaw.process.delivery",
    "nanoclaw.process.sweep",
    "nanoclaw.process.admin",
)


def import_and_share(names: tuple[str, ...]) -> None:
    """What is imported here lives as long as the process. Out of the collector's sight, its
    rounds in the children do not write to pages that they all share."""
    for name in names:
        with contextlib.suppress(ImportError):  # the child itself will fail, and say so
            importlib.import_module(name)
    gc.freeze()
    fill_gaps()


def import_second_half() -> None:
    """After each fork; only the first one finds something to do."""
    if any(name not in sys.modules for name in SECOND_HALF):
        import_and_share(SECOND_HALF)


gc.disable()  # rounds over modules find nothing and cost a tenth of the time
import_and_share(FIRST_HALF)
os.register_at_fork(after_in_parent=import_second_half, after_in_child=gc.enable)
