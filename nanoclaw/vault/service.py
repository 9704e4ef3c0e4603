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
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import HostConfig, host_environment
from nanoclaw.events import Hello
from nanoclaw.secret_store.store import open_store
from nanoclaw.supervise.child import ChildContext
from nanoclaw.vault.books import Books
from nanoclaw.vault.control import Control
from nanoclaw.vault.dispatch import Dispatch
from nanoclaw.vault.doors import Doors
from nanoclaw.vault.egress import Egress
from nanoclaw.vault.egress_policy import StoredPolicy
from nanoclaw.vault.exchange import Exchange
from nanoclaw.vault.gateway.service import open_gateway
from nanoclaw.vault.injection import Injector
from nanoclaw.vault.intercept import Interception, InterceptionParts
from nanoclaw.vault.leak_guard import LeakGuard
from nanoclaw.vault.target import model_addresses

NAME = "vault"

log = logging.getLogger(__name__)


def run_vault(context: ChildContext) -> None:
    """Returns after SIGTERM. Raises NanoclawError when it cannot start."""
    asyncio.run(_serve(context))


async def _serve(context: ChildContext) -> None:
    config = context.config
    books = Books(config.paths.central_db, lambda: ring(config.paths, DELIVERY))
    try:
        charged = await books.charge_open()
        if charged:
            log.warning("requests of an earlier vault charged in full", extra={"count": charged})
        reached("vault.recovered")
        exchange = Exchange(config, host_environment(), books)
        egress = _egress(config, books)
        doors = Doors(config.paths, books, Dispatch(exchange, egress))
        control = Control(
            config.paths.socket(NAME), Hello(NAME, NAME, os.getpid()), doors.reconcile
        )
        gateway = open_gateway(config, host_environment(), books, context.note)
        stopped = _stop_signal()
        if gateway is not None:
            exchange.gateway, egress.parent = gateway.model, gateway.route
            gateway.start()
        await doors.reconcile()
        await control.start()
        slowly = asyncio.create_task(doors.reconcile_for_ever())
        context.note("upstream", config.anthropic_base_url)
        context.ready()
        await stopped.wait()
        slowly.cancel()
        if gateway is not None:
            await gateway.close()
        await control.close()
        await doors.close()
        await exchange.close()
    finally:
        books.close()


def _egress(config: HostConfig, books: Books) -> Egress:
    policy = StoredPolicy(books, config.paths)
    guard = LeakGuard(config, host_environment(), books)
    addresses = (config.anthropic_base_url, *(item.base_url for item in config.endpoints))
    egress = Egress(policy, model_addresses(*addresses), guard)
    injector = Injector(books, open_store(config))
    interception = Interception(InterceptionParts(config.paths, policy, egress, injector, guard))
    interception.begin()
    egress.interceptor = interception
    return egress


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
