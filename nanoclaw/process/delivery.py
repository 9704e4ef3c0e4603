"""Composition root of the ``delivery`` process: central database, session folders, workers."""

import signal

from contract.watch import Watch
from nanoclaw.db.connection import open_central
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext


def run(context: ChildContext) -> None:
    """Delivers until SIGTERM; what is under way then stays in the books and is taken up again."""
    paths = context.config.paths
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    conn = open_central(paths.central_db)
    loop = DeliveryLoop(reactor, conn, paths, Watch.open())
    loop.start()
    context.ready()
    reactor.run()
    loop.close()
    conn.close()
