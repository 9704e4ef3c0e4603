"""OneCLI's HTTP interface, as the vault uses it: where the gateway is, who waits, what was decided.

Used by ``approvals`` (H-231) and ``parent``. Every call carries the key, read anew each time.
``OneCliError`` says in plain words what failed; nothing that OneCLI sends is trusted to have a
form.
"""

import asyncio
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from contract.clock import utc_now
from contract.errors import BadContent
from contract.jsontext import parse_value
from nanoclaw.config import HostConfig
from nanoclaw.containers.gateway.client import check_certificates
from nanoclaw.containers.gateway.decide import (
    BadGatewayAnswer,
    GatewayConfig,
    parse_container_config,
    parse_gateway_url,
)
from nanoclaw.containers.gateway.key import read_key
from nanoclaw.errors import ConfigError
from nanoclaw.vault.gateway.decide import POSTED, BadListError, Listed, parse_pending
from nanoclaw.vault.gateway.wire import MAX_ANSWER_BYTES, Question, Reply, WireError, send

CALL_SECONDS = 5.0
POLL_SECONDS = 35.0
"""The server holds a poll for up to thirty (H-231)."""


class OneCliError(Exception):
    """``args[0]`` says what failed and where, without secrets."""


class OneCli:
    """``environment`` is the host's own."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str]) -> None:
        self._config = config
        self._environment = environment
        self.url = config.onecli_url

    async def gateway_url(self) -> str:
        """Raises OneCliError."""
        if self._config.onecli_gateway_url:
            return self._config.onecli_gateway_url
        url = f"{self.url}/api/gateway-url"
        try:
            return parse_gateway_url(await self._get(url, CALL_SECONDS), self.url)
        except BadGatewayAnswer as error:
            raise OneCliError(f"{url}: {error}") from error

    async def configuration(self, identifier: str) -> GatewayConfig:
        """How this agent's traffic goes through the gateway. Raises OneCliError."""
        url = f"{self.url}/api/container-config"
        try:
            value = await self._get(f"{url}?agent={quote(identifier, safe='')}", CALL_SECONDS)
            found = parse_container_config(value, self.url)
            check_certificates(found.ca)
        except BadGatewayAnswer as error:
            raise OneCliError(f"{url}: {error}") from error
        return found

    async def pending(self, gateway: str, exclude: Iterable[str]) -> list[Listed]:
        """Waits up to ``POLL_SECONDS`` for a request that is not in ``exclude``."""
        url = f"{gateway}/api/approvals/pending"
        ids = ",".join(quote(request_id, safe="") for request_id in exclude)
        try:
            value = await self._get(f"{url}?exclude={ids}" if ids else url, POLL_SECONDS)
            return parse_pending(value, utc_now())
        except BadListError as error:
            raise OneCliError(f"{url}: {error}") from error

    async def decide(self, gateway: str, request_id: str, *, approve: bool) -> None:
        """Returns when the gateway knows, or waits no more. Raises OneCliError."""
        url = f"{gateway}/api/approvals/{quote(request_id, safe='')}/decision"
        body = {"decision": "approve" if approve else "deny"}
        reply = await self._call("POST", url, body, CALL_SECONDS)
        if reply.status not in POSTED:
            raise OneCliError(_status(url, reply.status))

    async def _get(self, url: str, seconds: float) -> object:
        reply = await self._call("GET", url, None, seconds)
        if not 200 <= reply.status < 300:
            raise OneCliError(_status(url.partition("?")[0], reply.status))
        try:
            return parse_value(reply.text, max_bytes=2 * MAX_ANSWER_BYTES)
        except BadContent as error:
            raise OneCliError(f"{url.partition('?')[0]} answers what is no JSON") from error

    async def _call(self, method: str, url: str, body: object, seconds: float) -> Reply:
        try:
            # A keyring may take its time.
            key = await asyncio.to_thread(read_key, self._config, self._environment)
            return await send(Question(method, url, key, body), seconds)
        except ConfigError as error:
            raise OneCliError(str(error)) from error
        except WireError as error:
            raise OneCliError(f"{url.partition('?')[0]}: {error}") from error


def _status(url: str, status: int) -> str:
    hint = "; set ONECLI_API_KEY" if status in (401, 403) else ""
    return f"{url} answers with status {status}{hint}"
