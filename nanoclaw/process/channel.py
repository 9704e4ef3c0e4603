"""Composition root of a ``channel:<instance>`` process: one adapter and its worker."""

import signal

from nanoclaw.channels.registry import kind_of, load_adapter
from nanoclaw.channels.worker import Worker, WorkerSpec
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext


def run(context: ChildContext) -> None:
    """Serves the instance named in ``context.name`` until SIGTERM."""
    instance = context.name.partition(":")[2]
    kind = kind_of(instance)
    reactor = Reactor()
    spec = WorkerSpec(instance, kind, load_adapter(kind), context.config.paths)
    worker = Worker(reactor, spec)
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: worker.stop(reactor.stop))
    worker.start(context.ready)
    reactor.run()
    worker.close()
    reactor.close()
