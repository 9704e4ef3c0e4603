"""What a model request may do and where it may go, before anything is spent on it.

Asked by ``exchange`` once per request, after its body is there. Reads the agent group's
configuration live, so that a changed allowance counts at once. A task series is believed only if it
belongs to the door's own session.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nanoclaw.config import HostConfig, KeyHeader
from nanoclaw.db import container_configs, tasks
from nanoclaw.db.doors import Door
from nanoclaw.model import ContainerConfig
from nanoclaw.model_settings import matches
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import is_name
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.vault import answers
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.client import RefusedError
from nanoclaw.vault.credentials import Credential, Credentials, Missing
from nanoclaw.vault.decide import Headers, Route
from nanoclaw.vault.endpoints.pool import Endpoint, Endpoints
from nanoclaw.vault.estimate import Estimate, UnreadableRequestError, estimate
from nanoclaw.vault.oauth import OAuthKeys
from nanoclaw.vault.prices import SHIPPED, PriceTable
from nanoclaw.vault.quiet_thread import QuietThread

SERIES_HEADER = "x-nanoclaw-series"
MAX_SERIES = 200
LARGE_BYTES = 256 * 1024
"""A body above this is read on a thread, one at a time."""
REPEATABLE_BYTES = 2 * 1024 * 1024
"""A longer one is not kept until an answer begins, so it cannot be sent again."""
MICRO = 1_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """``estimate`` None: the request has no body and costs nothing."""

    endpoints: Sequence[Endpoint]
    prices: PriceTable
    credential: str | None = None
    estimate: Estimate | None = None
    series_id: str | None = None
    group_day_microusd: int | None = None
    repeatable: bool = True
    """Sent twice it does nothing twice but cost."""


@dataclass(frozen=True, slots=True)
class _Facts:
    config: ContainerConfig | None
    series_id: str | None


class Planner:
    """Every refusal is raised as RefusedError."""

    def __init__(self, config: HostConfig, books: Books, endpoints: Endpoints) -> None:
        self._books = books
        self._endpoints = endpoints
        self._prices = SHIPPED.with_overrides(config.prices)
        self._reading = asyncio.Lock()

    async def plan(self, door: Door, route: Route, headers: Headers, body: bytes) -> Plan:
        facts = await self._facts(door, headers)
        config = facts.config
        prices = self._prices
        if config is not None and config.prices:
            prices = prices.with_overrides(config.prices)
        found = None if route is Route.MODELS else await self._estimate(body, prices)
        if found is not None and config is not None:
            _check_models(door, config.allowed_models, found)
        only = config.endpoint if config is not None else None
        endpoints = self._endpoints.candidates(found.model if found else None, only)
        if not endpoints:
            raise RefusedError(self._no_endpoint(door, only, found))
        cap = config.max_cost_per_day_usd if config is not None else None
        return Plan(
            endpoints,
            prices,
            credential=config.credential if config is not None else None,
            estimate=found,
            series_id=facts.series_id,
            group_day_microusd=None if cap is None else round(cap * MICRO),
            repeatable=not (found is not None and found.acts) and len(body) <= REPEATABLE_BYTES,
        )

    async def _facts(self, door: Door, headers: Headers) -> _Facts:
        series = next((value for name, value in headers if name == SERIES_HEADER), None)
        try:
            facts = await self._books.run(lambda conn: _read_facts(conn, door, series))
        except BooksClosedError as error:
            log.error("configuration not read", extra={"reason": str(error)})
            raise RefusedError(answers.books_closed()) from error
        if series and facts.series_id is None:
            log.warning(
                "series of another session ignored",
                extra={"session": door.session_id, "reason": ascii(series[:MAX_SERIES])},
            )
        return facts

    async def _estimate(self, body: bytes, prices: PriceTable) -> Estimate:
        try:
            if len(body) > LARGE_BYTES:
                async with self._reading:
                    return await asyncio.to_thread(estimate, body, prices)
            return estimate(body, prices)
        except UnreadableRequestError as error:
            raise RefusedError(answers.bad_request(str(error))) from error

    def _no_endpoint(self, door: Door, only: str | None, found: Estimate | None) -> answers.Refusal:
        if only is not None and only not in self._endpoints.names:
            known = ", ".join(self._endpoints.names)
            return answers.model_not_allowed(
                f"the agent's endpoint {only!r} is not in config.toml (there are: {known}); run: "
                f"ncl groups config update {door.agent_group_id} --null endpoint"
            )
        name = found.model if found is not None else "any"
        where = f"the endpoint {only}" if only is not None else "no endpoint of this installation"
        verb = "does not serve" if only is not None else "serves"
        return answers.model_not_allowed(
            f"{where} {verb} the model {name}; the key `models` of [[endpoints]] in config.toml "
            "says which are served"
        )


class Keys:
    """The credentials of all endpoints: plain keys, and tokens that are renewed."""

    def __init__(
        self, paths: HostPaths, environment: Mapping[str, str], store: SecretStore
    ) -> None:
        self._plain = {
            header: Credentials(paths, environment, header, store) for header in KeyHeader
        }
        self._thread = QuietThread("keys")
        self._oauth = OAuthKeys(store, self._thread)

    async def close(self) -> None:
        await self._oauth.close()
        self._thread.close()

    async def find(self, endpoint: Endpoint, name: str | None) -> Credential | Missing:
        plain = self._plain[endpoint.key_header]
        if name is None:
            return await self._thread.run(plain.current)
        if is_name(name) and await self._oauth.is_one(name):
            return await self._oauth.current(name)
        return await self._thread.run(lambda: plain.for_name(name))


async def credential_for(plan: Plan, endpoint: Endpoint, keys: Keys, door: Door) -> Credential:
    """An endpoint's own key, else the agent's, else the installation's. Raises RefusedError."""
    name = endpoint.settings.credential or plan.credential
    found = await keys.find(endpoint, name)
    if isinstance(found, Missing):
        whose = ""
        if endpoint.settings.credential:
            whose = f"the endpoint {endpoint.name} has no key: "
        elif name is not None:
            whose = f"the agent group {door.agent_group_id} has no key: "
        raise RefusedError(answers.no_credential(whose + found.text))
    return found


def _read_facts(conn: sqlite3.Connection, door: Door, series: str | None) -> _Facts:
    known = None
    if series and len(series) <= MAX_SERIES:
        known = tasks.get(conn, door.session_id, series)
    config = container_configs.get(conn, door.agent_group_id)
    return _Facts(config, known.series_id if known is not None else None)


def _check_models(door: Door, allowed: tuple[str, ...], found: Estimate) -> None:
    for name in (found.model, *found.others):
        if allowed and not any(matches(pattern, name) for pattern in allowed):
            raise RefusedError(
                answers.model_not_allowed(
                    f"the model {name[:128]} is not allowed for this agent; allowed are "
                    f"{', '.join(allowed)} (ncl groups config get {door.agent_group_id})"
                )
            )
