"""Composition root of the ``admin`` process: read models and the administration socket."""

import os
import signal

from nanoclaw.admin.dispatch import Dispatcher
from nanoclaw.admin.overview import Pong, read_overview
from nanoclaw.admin.server import AdminServer
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext
from nanoclaw.version import VERSION


def run(context: ChildContext) -> None:
    """Answers ``ncl`` until SIGTERM."""
    paths = context.config.paths
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    dispatcher = Dispatcher(
        {
            "ping": lambda _: Pong(VERSION, os.getpid()),
            "status": lambda _: read_overview(paths),
        }
    )
    server = AdminServer(reactor, paths.socket("ncl"), dispatcher.handle)
    context.ready()
    reactor.run()
    server.close()
    reactor.close()
