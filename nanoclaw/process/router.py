"""Composition root of the ``router`` process: central database, redo log, ``run/router.sock``."""

import os
import signal

from nanoclaw.db.connection import open_central
from nanoclaw.events import Hello
from nanoclaw.link import FrameClient, FrameServer, QuietHandler
from nanoclaw.reactor import Reactor
from nanoclaw.routing.bell_watch import BellWatch
from nanoclaw.routing.loop import RouterLoop
from nanoclaw.supervise.child import ChildContext

NAME = "router"


def run(context: ChildContext) -> None:
    """Replays the redo log, then serves channel workers until SIGTERM."""
    paths = context.config.paths
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    conn = open_central(paths.central_db)
    hello = Hello(NAME, NAME, os.getpid())
    sweep = FrameClient(reactor, paths.socket("sweep"), hello, QuietHandler())
    loop = RouterLoop(reactor, conn, paths, sweep, context.config.timezone)
    loop.replay()
    loop.start()
    bell = BellWatch(reactor, paths, loop.look)
    server = FrameServer(reactor, paths.socket(NAME), hello, loop)
    sweep.connect()
    context.ready()
    reactor.run()
    server.close()
    sweep.close()
    bell.close()
    loop.close()
    conn.close()
