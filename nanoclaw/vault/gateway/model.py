"""The model's route through the gateway: it has the key, so ours is a placeholder.

Used by ``exchange`` for requests whose endpoint and agent name no secret of their own. Kept
connections belong to one agent group, because the proxy's login does (H-192).
"""

from urllib.parse import urlsplit

from nanoclaw.config import KeyHeader
from nanoclaw.db.doors import Door
from nanoclaw.vault import answers
from nanoclaw.vault.client import RefusedError
from nanoclaw.vault.credentials import Credential
from nanoclaw.vault.egress_types import BlockedError, Destination
from nanoclaw.vault.endpoints.pool import Endpoint
from nanoclaw.vault.gateway.parent import GatewayRoute
from nanoclaw.vault.upstream import Connect, Streams, UnreachableError, Upstream

PLACEHOLDER = "onecli-managed"
MAX_KEPT = 200
SUBSCRIPTION = (
    "OneCLI holds the token of a Claude subscription, which this provider cannot use; assign an "
    "API key to the agent there"
)


class ModelGateway:
    """On the event loop's thread only."""

    def __init__(self, route: GatewayRoute) -> None:
        self._route = route
        self._kept: dict[tuple[str, str], Upstream] = {}

    async def way(self, endpoint: Endpoint, door: Door) -> tuple[Upstream, Credential] | None:
        """None: go by yourself, with a key of the host. Raises RefusedError."""
        try:
            config = await self._route.knows(door.agent_group_id)
        except BlockedError as error:
            raise RefusedError(answers.unreachable(str(error))) from error
        if config is None:
            return None
        if config.subscription:
            raise RefusedError(answers.no_credential(SUBSCRIPTION))
        return self._upstream(endpoint, door.agent_group_id), _placeholder(endpoint)

    def close(self) -> None:
        for upstream in self._kept.values():
            upstream.close()
        self._kept.clear()

    def _upstream(self, endpoint: Endpoint, group: str) -> Upstream:
        key = (group, endpoint.name)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MAX_KEPT:
                self.close()
            base_url = endpoint.settings.base_url
            found = Upstream(base_url, connect=self._connect(base_url, group))
            self._kept[key] = found
        return found

    def _connect(self, base_url: str, group: str) -> Connect:
        parts = urlsplit(base_url)
        tls = parts.scheme == "https"
        destination = Destination(parts.hostname or "", parts.port or (443 if tls else 80), tls)

        async def connect() -> Streams:
            try:
                streams = await self._route.open(group, destination, tls=tls)
            except BlockedError as error:
                raise UnreachableError(str(error)) from error
            if streams is None:
                raise UnreachableError("the credential gateway has just gone")
            return streams

        return connect


def _placeholder(endpoint: Endpoint) -> Credential:
    if endpoint.key_header is KeyHeader.X_API_KEY:
        return Credential("x-api-key", PLACEHOLDER)
    return Credential("authorization", f"Bearer {PLACEHOLDER}")
