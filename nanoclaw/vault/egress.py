"""CONNECT and plain HTTP through a door: token, policy, address, connection.

Called by ``dispatch``. Nothing is resolved and nothing is sent before the policy allowed it, and
what is connected to is the address that was checked. Tunnels have places of their own per session,
so that however many there are, the model's route stays free.
"""

import asyncio
import base64
import binascii
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from nanoclaw.db.doors import Door
from nanoclaw.vault import denial, limits, plain_http, tunnel
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.books import BooksClosedError
from nanoclaw.vault.client import (
    Client,
    ClientGoneError,
    Incoming,
    RefusedError,
    Streams,
    while_there,
)
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.egress_types import (
    BlockedError,
    Destination,
    EgressPolicy,
    EgressRequest,
    Interceptor,
    Judgement,
    Keyhole,
    Parent,
    Verdict,
)
from nanoclaw.vault.leak_guard import BodyWindow, LeakGuard
from nanoclaw.vault.reach import Reach
from nanoclaw.vault.target import TargetError, parse_absolute, parse_authority

__all__ = ["BlockedError", "Egress", "Interceptor", "Streams"]

NO_INTERCEPTOR = (
    "this host may only be reached with a look into the connection, which needs the extra "
    "'intercept'; the owner adds it with: nanoclaw extras add intercept"
)

log = logging.getLogger(__name__)


class Egress:
    """What the proxied connections of all doors share. ``interceptor`` is set by ``service``
    after both were built; None: INSPECT is refused with the next step.

    ``kept`` are the model's own addresses: they are reached by the model's route and no other way.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        kept: Iterable[tuple[str, int]] = (),
        guard: LeakGuard | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._policy = policy
        self._guard = guard
        self._kept = frozenset(kept)
        self._reach = reach or Reach()
        self._open: Counter[str] = Counter()
        self.interceptor: Interceptor | None = None
        self.parent: Parent | None = None

    async def serve_connect(self, keyhole: Keyhole, incoming: Incoming, client: Client) -> bool:
        """Whether another request may follow on this connection. Raises ClientGoneError."""
        try:
            request = self._connect_of(keyhole, incoming)
            async with self._place(keyhole.door):
                judgement = await while_there(client, self._judge(request))
                await self._let_in(keyhole, request, judgement, client)
        except RefusedError as refused:
            return await self._refuse(keyhole.door, incoming, refused.refusal, client)
        return False

    async def serve_plain(self, keyhole: Keyhole, incoming: Incoming, client: Client) -> bool:
        """As ``serve_connect``, for ``GET http://host/...``."""
        try:
            _check_token(keyhole, incoming.headers)
            destination, target = _plain_target(incoming)
            self._check_kept(destination)
            onward = plain_http.onward(incoming, destination, target)
            path = target.partition("?")[0]
            request = EgressRequest(keyhole.door, destination, incoming.method, path)
            async with self._place(keyhole.door), asyncio.timeout(limits.EXCHANGE_SECONDS):
                judgement = await self._judge(request)
                window = await self._window(keyhole.door, destination, onward)
                onward, streams = await self._plainly(keyhole.door, onward, destination, judgement)
                return await plain_http.forward(client, onward, streams, window)
        except RefusedError as refused:
            return await self._refuse(keyhole.door, incoming, refused.refusal, client)
        except TimeoutError:
            raise ClientGoneError from None

    async def open_checked(
        self, destination: Destination, judgement: Judgement, door: Door | None = None
    ) -> Streams:
        """A connection to a checked address of this host; with ``destination.tls`` with SNI, the
        certificate verified against the host's trust store and ALPN http/1.1. Raises BlockedError
        with plain words (refused address, nobody there, bad certificate)."""
        self._check_kept_plainly(destination)
        return await self._reached(door, destination, judgement, tls=destination.tls)

    def _connect_of(self, keyhole: Keyhole, incoming: Incoming) -> EgressRequest:
        _check_token(keyhole, incoming.headers)
        if any(name in ("content-length", "transfer-encoding") for name, _ in incoming.headers):
            raise RefusedError(denial.bad_target("a CONNECT has no body"))
        try:
            destination = parse_authority(incoming.target)
        except TargetError as error:
            raise RefusedError(denial.bad_target(str(error))) from error
        self._check_kept(destination)
        return EgressRequest(keyhole.door, destination)

    def _check_kept(self, destination: Destination) -> None:
        try:
            self._check_kept_plainly(destination)
        except BlockedError as error:
            raise RefusedError(denial.blocked(error.text, error.status)) from error

    def _check_kept_plainly(self, destination: Destination) -> None:
        if (destination.host, destination.port) in self._kept:
            text = f"{destination.authority} is the model's; it is reached by ANTHROPIC_BASE_URL"
            raise BlockedError(text, 403)

    async def _judge(self, request: EgressRequest) -> Judgement:
        try:
            judgement = await self._policy.judge(request)
        except BooksClosedError as error:
            log.error("egress not recorded", extra={"reason": str(error)})
            raise RefusedError(denial.not_recorded()) from error
        if judgement.verdict in (Verdict.DENY, Verdict.ASK):
            raise RefusedError(denial.not_permitted(judgement.text))
        return judgement

    async def _window(
        self, door: Door, destination: Destination, onward: plain_http.Onward
    ) -> BodyWindow | None:
        """Raises RefusedError when the head carries a secret of the install."""
        if self._guard is None:
            return None
        where = f"a request to {destination.host}"
        await self._guard.check(door, where, onward.head_bytes())
        return self._guard.window(door, where)

    async def _let_in(
        self, keyhole: Keyhole, request: EgressRequest, judgement: Judgement, client: Client
    ) -> None:
        if judgement.verdict is Verdict.INSPECT:
            await self._look_in(keyhole, request, judgement, client)
            return
        destination = request.destination
        far = await while_there(client, self._opened(keyhole.door, destination, judgement))
        try:
            near = await client.open_tunnel(paused=False)
            await tunnel.carry(near, far, keyhole.door, destination)
        finally:
            far[1].transport.abort()

    async def _look_in(
        self, keyhole: Keyhole, request: EgressRequest, judgement: Judgement, client: Client
    ) -> None:
        interceptor = self.interceptor
        problem = NO_INTERCEPTOR if interceptor is None else await interceptor.missing()
        if interceptor is None or problem is not None:
            raise RefusedError(denial.not_permitted(problem or NO_INTERCEPTOR))
        reader, writer = await client.open_tunnel(paused=True)
        try:
            async with asyncio.timeout(limits.TUNNEL_SECONDS):
                await interceptor.serve(keyhole, request, judgement, reader, writer)
        except TimeoutError:
            raise ClientGoneError from None

    async def _opened(self, door: Door, destination: Destination, judgement: Judgement) -> Streams:
        """Without TLS of ours. Raises RefusedError."""
        try:
            return await self._reached(door, destination, judgement, tls=False)
        except BlockedError as error:
            raise RefusedError(denial.blocked(error.text, error.status)) from error

    async def _plainly(
        self, door: Door, onward: plain_http.Onward, destination: Destination, judgement: Judgement
    ) -> tuple[plain_http.Onward, Streams]:
        """A parent is told the whole address. Raises RefusedError."""
        try:
            if self.parent is not None:
                await self._reach.check(destination, local=judgement.local, asker=door.session_id)
                found = await self.parent.open_plain(door.agent_group_id)
                if found is not None:
                    return onward.through_proxy(found[1]), found[0]
        except BlockedError as error:
            raise RefusedError(denial.blocked(error.text, error.status)) from error
        return onward, await self._opened(door, destination, judgement)

    async def _reached(
        self, door: Door | None, destination: Destination, judgement: Judgement, *, tls: bool
    ) -> Streams:
        """Raises BlockedError. The destination is checked also where a parent connects to it."""
        asker = door.session_id if door is not None else ""
        if self.parent is not None and door is not None:
            await self._reach.check(destination, local=judgement.local, asker=asker)
            streams = await self.parent.open(door.agent_group_id, destination, tls=tls)
            if streams is not None:
                return streams
        return await self._reach.open(destination, local=judgement.local, tls=tls, asker=asker)

    @asynccontextmanager
    async def _place(self, door: Door) -> AsyncIterator[None]:
        session = door.session_id
        if self._open[session] >= limits.MAX_EGRESS_PER_DOOR:
            text = f"this agent has {limits.MAX_EGRESS_PER_DOOR} connections open; close some first"
            raise RefusedError(denial.too_many(text))
        if self._open.total() >= limits.MAX_EGRESS:
            text = "all agents together have too many connections open; try again in a moment"
            raise RefusedError(denial.too_many(text))
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]

    async def _refuse(
        self, door: Door, incoming: Incoming, refusal: Refusal, client: Client
    ) -> bool:
        log.warning(
            "egress refused",
            extra={
                "session": door.session_id,
                "group": door.agent_group_id,
                "status": refusal.status,
                "reason": refusal.text,
                "method": incoming.method,
            },
        )
        return await client.refuse(refusal)


def _check_token(keyhole: Keyhole, headers: Headers) -> None:
    """``Basic agent:<token>``, as every client makes it from HTTPS_PROXY. Raises RefusedError."""
    found = [value for name, value in headers if name == "proxy-authorization"]
    if not found:
        raise RefusedError(denial.no_proxy_token())
    if len(found) > 1 or not keyhole.fits(_token_of(found[0])):
        raise RefusedError(denial.wrong_token())


def _token_of(value: str) -> str:
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]


def _plain_target(incoming: Incoming) -> tuple[Destination, str]:
    try:
        return parse_absolute(incoming.target)
    except TargetError as error:
        raise RefusedError(denial.bad_target(str(error))) from error
