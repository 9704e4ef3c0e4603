"""The vault's life: books in order, doors open, served until it is told to stop.

Called by ``nanoclaw.process.vault`` inside the child. What an earlier vault had reserved and never
settled is charged before the first door opens. SIGTERM lets running answers go on for a moment;
killed at any other moment, the containers connect again and the reservations are charged.
"""

import asyncio
import logging
import os
import signal

from contract.killpoint import reached
from nanoclaw.config import host_environment
from nanoclaw.events import Hello
from nanoclaw.supervise.child import ChildContext
from nanoclaw.vault.books import Books
from nanoclaw.vault.control import Control
from nanoclaw.vault.doors import Doors
from nanoclaw.vault.exchange import Exchange

NAME = "vault"

log = logging.getLogger(__name__)


def run_vault(context: ChildContext) -> None:
    """Returns after SIGTERM. Raises NanoclawError when it cannot start."""
    asyncio.run(_serve(context))


async def _serve(context: ChildContext) -> None:
    config = context.config
    books = Books(config.paths.central_db)
    try:
        charged = await books.charge_open()
        if charged:
            log.warning("requests of an earlier vault charged in full", extra={"count": charged})
        reached("vault.recovered")
        exchange = Exchange(config, host_environment(), books)
        doors = Doors(config.paths, books, exchange)
        control = Control(
            config.paths.socket(NAME), Hello(NAME, NAME, os.getpid()), doors.reconcile
        )
        stopped = _stop_signal()
        await doors.reconcile()
        await control.start()
        slowly = asyncio.create_task(doors.reconcile_for_ever())
        context.note("upstream", config.anthropic_base_url)
        context.ready()
        await stopped.wait()
        slowly.cancel()
        await control.close()
        await doors.close()
        await exchange.close()
    finally:
        books.close()


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
