"""A process that carries tasks on, for tests that kill it or let several run at once.

``python -m helpers.tasks_child HOME settle|skip|effects NOW``, the time as stored text.
"""

import sys
import time
from pathlib import Path

from helpers.tasks_room import NoRequests

from contract.clock import parse_text, utc_now
from contract.errors import SessionFileBusy
from nanoclaw.config import HostConfig
from nanoclaw.db import effects, sessions
from nanoclaw.db.connection import open_central
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.process.handlers import HANDLERS
from nanoclaw.reactor import Reactor
from nanoclaw.tasks.keeper import TaskKeeper

LOCKED_PAUSE_SECONDS = 0.01


def main() -> None:
    home, what, at = sys.argv[1:]
    config = HostConfig(Path(home))
    conn = open_central(config.paths.central_db)
    if what == "effects":
        reactor = Reactor()
        runner = EffectRunner(reactor, conn, config, NoRequests(), HANDLERS)
        runner.start()
        while effects.due(conn, utc_now(), 1):
            reactor.run_once(0.05)
        return
    session, now = sessions.get(conn, "sess-1"), parse_text(at)
    assert session is not None
    assert now is not None
    keeper = TaskKeeper(conn, config)
    step = keeper.skip_missed if what == "skip" else keeper.settle
    while True:
        try:
            step(session, now)
        except SessionFileBusy:
            time.sleep(LOCKED_PAUSE_SECONDS)  # as the sweep does
        else:
            return


if __name__ == "__main__":
    main()
