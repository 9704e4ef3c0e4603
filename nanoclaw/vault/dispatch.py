"""Which way a request goes: to the model's route, or out through the proxy.

Called by ``doors`` for every request. The form of the target alone decides (RFC 9112 3.2): a path
is for the model's route whatever its Host header says, an address is for the proxy even when it is
the model's or this door's own. Either way the token is asked for.
"""

from nanoclaw.vault.client import Client, Incoming
from nanoclaw.vault.egress import Egress
from nanoclaw.vault.egress_types import Keyhole
from nanoclaw.vault.exchange import Exchange


class Dispatch:
    """Joins the two."""

    def __init__(self, exchange: Exchange, egress: Egress) -> None:
        self._exchange = exchange
        self._egress = egress

    async def answer(self, keyhole: Keyhole, incoming: Incoming, client: Client) -> bool:
        """Whether another request may follow on this connection. Raises ClientGoneError."""
        if incoming.method == "CONNECT":
            return await self._egress.serve_connect(keyhole, incoming, client)
        if incoming.target.startswith("/") or "://" not in incoming.target:
            return await self._exchange.answer(keyhole, incoming, client)
        return await self._egress.serve_plain(keyhole, incoming, client)
