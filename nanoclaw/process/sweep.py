"""Composition root of the ``sweep`` process: central database, containers, ``run/sweep.sock``."""

import os
import signal
import socket
import sqlite3

from contract import killpoint, watch
from contract.watch import Watch
from nanoclaw.bell import SWEEP
from nanoclaw.config import HostConfig, Runtime, host_environment
from nanoclaw.db.connection import open_central
from nanoclaw.events import Hello
from nanoclaw.link import FrameServer
from nanoclaw.preflight import TryLaterError
from nanoclaw.process.backup import run as back_up
from nanoclaw.process.builder import run as build
from nanoclaw.process.builder import run_group
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.supervise.child import ChildContext
from nanoclaw.sweep.backups import Backups
from nanoclaw.sweep.closing import Closing
from nanoclaw.sweep.engine import Engine
from nanoclaw.sweep.loop import SweepLoop, SweepParts
from nanoclaw.sweep.offload import Offload
from nanoclaw.sweep.retention import Retention

NAME = "sweep"
PASSED_ON = (watch.POLLING_VARIABLE,)
PASSED_TO_PROCESSES = (killpoint.VARIABLE,)
"""Folders of this machine mean nothing inside a container."""


def run(context: ChildContext) -> None:
    """Starts and watches agents until SIGTERM; they go on without us unless told otherwise."""
    config = context.config
    paths = config.paths
    reactor = Reactor()
    conn = open_central(paths.central_db)
    offload = Offload(reactor)
    engine = Engine(reactor, offload, config, build)
    loop = SweepLoop(
        SweepParts(
            reactor=reactor,
            conn=conn,
            config=config,
            owner=f"{socket.gethostname()}:{paths.slug}",
            offload=offload,
            engine=engine,
            marker=WorkMarker(paths, NAME),
            passed_on=_passed_on(config),
            note=context.note,
            build_group=run_group,
        )
    )
    reactor.on_signals((signal.SIGTERM, signal.SIGINT), lambda _: loop.stop(reactor.stop))
    loop.recover()
    server = FrameServer(reactor, paths.socket(NAME), Hello(NAME, NAME, os.getpid()), loop)
    bell = _Bell(reactor, Watch.open(), loop)
    bell.start(config)
    loop.start()
    Closing(reactor, conn, paths, offload).start()
    Retention(reactor, conn, paths.audit).start()
    backups = Backups(reactor, conn, config, back_up, context.note)
    backups.start()
    context.ready()
    try:
        reactor.run()
    except sqlite3.OperationalError as error:
        # Full disk or held lock: nothing in here is wrong, and what was half done is on disk.
        raise TryLaterError(f"the database cannot be used just now: {error}") from error
    server.close()
    bell.close()
    loop.close()
    backups.close()
    conn.close()


def _passed_on(config: HostConfig) -> tuple[tuple[str, str], ...]:
    environment = host_environment()
    names: tuple[str, ...] = PASSED_ON
    if config.runtime is Runtime.PROCESS:
        names += PASSED_TO_PROCESSES
    return tuple((name, environment[name]) for name in names if environment.get(name))


class _Bell:
    """Tells the loop when somebody has rung for it."""

    def __init__(self, reactor: Reactor, folder_watch: Watch, loop: SweepLoop) -> None:
        self._reactor = reactor
        self._watch = folder_watch
        self._loop = loop

    def start(self, config: HostConfig) -> None:
        self._watch.add(config.paths.bells)
        fd = self._watch.fileno()
        if fd is not None:
            self._reactor.watch(fd, self._read)
        else:
            self._poll()

    def close(self) -> None:
        self._watch.close()

    def _read(self) -> None:
        if any(event.name in ("", SWEEP) for event in self._watch.read()):
            self._loop.on_bell()

    def _poll(self) -> None:
        self._read()
        self._reactor.call_later(self._watch.poll_seconds or 1.0, self._poll)
