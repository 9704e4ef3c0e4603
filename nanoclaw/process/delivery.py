"""Composition root of the ``delivery`` process: central database, session folders, workers."""

import signal
from collections.abc import Iterator, Mapping

from contract.watch import Watch
from nanoclaw.approvals.desk import CardDesk
from nanoclaw.db.connection import open_central
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.effects.base import Handler
from nanoclaw.effects.runner import EffectRunner
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext


def run(context: ChildContext) -> None:
    """Delivers until SIGTERM; what is under way then stays in the books and is taken up again."""
    config = context.config
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    conn = open_central(config.paths.central_db)
    links = Links(reactor, config.paths)
    loop = DeliveryLoop(reactor, conn, config, Watch.open(), links)
    loop.start(
        (
            EffectRunner(reactor, conn, config, links, _Handlers()),
            CardDesk(reactor, conn, config, links),
        )
    )
    context.ready()
    reactor.run()
    loop.close()
    conn.close()


class _Handlers(Mapping[str, Handler]):
    """``process.handlers``, loaded with the first effect: it brings every command along."""

    def __getitem__(self, kind: str) -> Handler:
        return self._table()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())

    @staticmethod
    def _table() -> Mapping[str, Handler]:
        from nanoclaw.process.handlers import HANDLERS

        return HANDLERS
