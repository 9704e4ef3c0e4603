"""Composition root of the ``backup`` process: one scheduled backup, then the end.

Started by ``sweep`` at the time of ``backup_every``; never by the supervisor. It works at the
lowest priority, deletes what retention does not keep afterwards, and leaves a failure as its
reason, which the sweep tells the owner.
"""

import os
import signal

from nanoclaw.supervise.child import ChildContext

NAME = "backup"
NICE = 15


def run(context: ChildContext) -> None:
    """Raises BackupError or StateError; nothing is kept of a failed one."""
    # Imported here: the sweep names this function and must not carry what a backup needs.
    from contract.clock import utc_now
    from nanoclaw.backup.catalog import prune
    from nanoclaw.backup.create import create
    from nanoclaw.backup.retention import parse_keep
    from nanoclaw.backup.sources import Wanted

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the next one tidies up
    os.nice(NICE)
    context.ready()
    config = context.config
    made = create(config, Wanted(), utc_now(), lambda name, done: None)
    context.note(NAME, made.path.name)
    prune(config.paths, parse_keep(config.backup_keep), utc_now())
