"""Everything of the gateway that lives in the vault, made and ended together.

Called by ``vault.service``; with the native backend ``open_gateway`` makes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import CredentialsBackend, HostConfig
from nanoclaw.vault.books import Books
from nanoclaw.vault.gateway.approvals import CredentialApprovals
from nanoclaw.vault.gateway.health import Health
from nanoclaw.vault.gateway.model import ModelGateway
from nanoclaw.vault.gateway.onecli import OneCli
from nanoclaw.vault.gateway.parent import GatewayRoute

log = logging.getLogger(__name__)


class GatewayService:
    """``start`` after the books are in order, ``close`` before they are closed."""

    def __init__(
        self, config: HostConfig, environment: Mapping[str, str], books: Books,
        note: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        onecli = OneCli(config, environment)
        self._health = Health(config.onecli_url, note)
        self.route = GatewayRoute(onecli, self._health, required=config.gateway_required)
        self._approvals = CredentialApprovals(
            books, onecli, self._health, lambda: ring(config.paths, DELIVERY)
        )
        self.model = ModelGateway(self.route)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._health.start()
        self._running = asyncio.get_running_loop().create_task(self._approvals.run())
        self._running.add_done_callback(_on_end)

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self.model.close()


def open_gateway(
    config: HostConfig, environment: Mapping[str, str], books: Books,
    note: Callable[[str, str], None],
) -> GatewayService | None:  # fmt: skip
    """None: the vault keeps the keys itself."""
    if config.credentials_backend is not CredentialsBackend.ONECLI:
        return None
    return GatewayService(config, environment, books, note)


def _on_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("credential approvals ended", exc_info=error)
