"""Composition root of the ``admin`` process: read models, search index, administration socket."""

import os
import signal
import sqlite3
from collections.abc import Callable

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.admin.caller import HOST
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.dispatch import Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import Request, Response
from nanoclaw.admin.search_index import Indexer
from nanoclaw.admin.server import AdminServer
from nanoclaw.db.connection import open_central
from nanoclaw.events import Frame, Hello
from nanoclaw.link import Answer, FrameClient, QuietHandler
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor
from nanoclaw.routing.pattern.search import problem_of
from nanoclaw.supervise.child import ChildContext

NAME = "admin"


def run(context: ChildContext) -> None:
    """Answers ``ncl`` until SIGTERM."""
    config = context.config
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    database = _Database(config.paths)
    services = _Services(reactor, config.paths)
    around = Surroundings(config, database.connect, services, problem_of)
    handle: Callable[[Request, Callable[[Response], None]], None] = _Handle(around)
    server = AdminServer(reactor, config.paths.socket("ncl"), handle)
    Indexer(reactor, config.paths).start()
    context.ready()
    reactor.run()
    server.close()
    services.close()
    database.close()
    reactor.close()


class _Handle:
    """The commands are many; they are loaded with the first request."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._dispatcher: Dispatcher | None = None

    def __call__(self, request: Request, answer: Callable[[Response], None]) -> None:
        if self._dispatcher is None:
            self._dispatcher = Dispatcher(host_registry(), self._around)
        call = Call(request, HOST, utc_now(), new_id("ncl"))
        self._dispatcher.handle(call, answer)


class _Database:
    """One connection, opened with the first command that needs it."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths
        self._conn: sqlite3.Connection | None = None

    def connect(self) -> sqlite3.Connection:
        """Raises StateError, which is then the answer."""
        if self._conn is None:
            self._conn = open_central(self._paths.central_db, create=False)
        return self._conn

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()


class _Services:
    """Other processes and timers, for commands; the sweep is first looked for when needed."""

    def __init__(self, reactor: Reactor, paths: HostPaths) -> None:
        self._reactor = reactor
        self._sweep = FrameClient(
            reactor, paths.socket("sweep"), Hello(NAME, NAME, os.getpid()), QuietHandler()
        )

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        self._sweep.connect()
        self._sweep.request(frame, seconds, on_answer)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        return self._reactor.call_later(seconds, callback)

    def close(self) -> None:
        self._sweep.close()
