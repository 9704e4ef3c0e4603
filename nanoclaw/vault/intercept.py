"""Looks into a TLS connection: ends it here, judges each request inside, sends it on by its own.

Called by ``egress`` once per CONNECT whose inside counts. Toward the client this is the server,
with a certificate of our own authority; toward the server a client that trusts what the host does.
Every request is asked about anew, written anew, and gets a service's secret last of all.
"""

import asyncio
import logging
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import h11

from contract.clock import utc_now
from nanoclaw.db.doors import Door
from nanoclaw.paths import HostPaths
from nanoclaw.vault import denial, library, limits
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.authority import Authority, AuthorityError
from nanoclaw.vault.books import BooksClosedError
from nanoclaw.vault.client import ClientGoneError, Incoming, RefusedError, Streams
from nanoclaw.vault.egress_types import (
    BlockedError,
    Destination,
    EgressPolicy,
    EgressRequest,
    Judgement,
    Keyhole,
    Verdict,
)
from nanoclaw.vault.injection import Injector
from nanoclaw.vault.intercept_client import InnerClient
from nanoclaw.vault.intercept_decide import Inner, decide_inner, onward_headers
from nanoclaw.vault.intercept_upstream import Link, end_to_end
from nanoclaw.vault.leak_guard import BodyWindow, LeakGuard
from nanoclaw.vault.upstream import SilentError, UpstreamError

NAME = "NanoClaw"

log = logging.getLogger(__name__)


class Opener(Protocol):
    """Connects to checked addresses; ``egress.Egress``."""

    async def open_checked(
        self, destination: Destination, judgement: Judgement, door: Door | None = None
    ) -> Streams: ...


@dataclass(frozen=True, slots=True)
class InterceptionParts:
    """What it shares with the rest of the vault."""

    paths: HostPaths
    policy: EgressPolicy
    opener: Opener
    injector: Injector
    guard: LeakGuard


class Interception:
    """The ``Interceptor`` of the vault."""

    def __init__(self, parts: InterceptionParts) -> None:
        paths = parts.paths
        self._extra = paths.extras(library.EXTRA)
        self._authority = Authority(paths.authority, f"{NAME} {paths.slug}")
        self._parts = parts
        self._lock = asyncio.Lock()
        self._beginning: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Makes the authority in the background, if there is none, so that the containers that
        start from now on trust it."""
        self._beginning = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        if not await asyncio.to_thread(self._authority.is_made, utc_now()):
            await self.missing()

    async def missing(self) -> str | None:
        """Why no connection can be looked into now, for the agent; None when it can. Makes or
        renews the authority when that is due."""
        async with self._lock:
            problem = await asyncio.to_thread(library.problem, self._extra)
            if problem is not None:
                return problem
            now = utc_now()
            if not self._authority.is_due(now):
                return None
            try:
                await asyncio.to_thread(self._authority.ensure, now)
            except AuthorityError as error:
                log.error("no certificate authority", extra={"reason": str(error)})
                return f"the host cannot look into TLS connections: {error}"
        return None

    async def serve(
        self,
        keyhole: Keyhole,
        request: EgressRequest,
        judgement: Judgement,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """See ``egress.Interceptor``; after ``missing`` said None."""
        host = request.destination.host
        context = self._authority.context_for(host, utc_now())
        try:
            await writer.start_tls(
                context, ssl_handshake_timeout=limits.INTERCEPT_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError, EOFError) as error:  # a time-out is an OSError
            reason = f"{host}: {_handshake_words(error)}"
            log.warning("no TLS with the agent", extra={**_who(request), "reason": reason})
            return
        await _Connection(self, request, InnerClient(reader, writer)).converse()

    async def judge(self, request: EgressRequest) -> Judgement:
        """Raises RefusedError for what may not pass."""
        try:
            judgement = await self._parts.policy.judge(request)
        except BooksClosedError as error:
            raise RefusedError(denial.not_recorded()) from error
        if judgement.verdict in (Verdict.DENY, Verdict.ASK):
            raise RefusedError(denial.not_permitted(judgement.text))
        return judgement

    async def guard(self, request: EgressRequest, inner: Inner) -> None:
        """Nothing of the owner's in the address and the headers. Raises RefusedError."""
        lines = [inner.target, *(f"{name}: {value}" for name, value in inner.headers)]
        text = "\n".join(lines).encode("latin-1")
        await self._parts.guard.check(request.door, _where(request), text)

    def window(self, request: EgressRequest) -> BodyWindow:
        return self._parts.guard.window(request.door, _where(request))

    async def open(self, request: EgressRequest, judgement: Judgement) -> Link:
        """Raises RefusedError."""
        try:
            reader, writer = await self._parts.opener.open_checked(
                request.destination, judgement, request.door
            )
        except BlockedError as error:
            raise RefusedError(denial.blocked(str(error), error.status)) from error
        return Link(reader, writer, local=judgement.local)

    async def inject(self, request: EgressRequest, judgement: Judgement, inner: Inner) -> Inner:
        """Raises RefusedError."""
        if judgement.service is None:
            return inner
        try:
            headers = await self._parts.injector.inject(request, judgement.service, inner.headers)
        except BooksClosedError as error:
            raise RefusedError(denial.not_recorded()) from error
        return replace(inner, headers=headers)


@dataclass(slots=True)
class _Connection:
    """One client's connection, request after request, and its one connection to the server."""

    shared: Interception
    request: EgressRequest
    client: InnerClient
    link: Link | None = None

    async def converse(self) -> None:
        try:
            while (incoming := await self._next()) is not None:
                if not await self._answer(incoming):
                    break
            await self.client.close()
        except ClientGoneError:
            pass  # it will not hear anything we could say
        finally:
            self._drop_link()
            self.client.abort()

    async def _next(self) -> Incoming | None:
        try:
            return await self.client.next_request()
        except RefusedError as refused:
            await self.client.refuse(refused.refusal)
            return None

    async def _answer(self, incoming: Incoming) -> bool:
        """Whether another request may follow. Raises ClientGoneError."""
        began = time.monotonic()
        path = incoming.target.partition("?")[0]
        request = replace(self.request, method=incoming.method, path=path)
        try:
            async with asyncio.timeout(limits.EXCHANGE_SECONDS):
                inner = decide_inner(incoming, request.destination)
                if isinstance(inner, Refusal):
                    raise RefusedError(inner)
                if not inner.has_body:
                    async for _ in self.client.pieces(0):
                        pass  # its end is there already: a refusal then costs no connection
                await self.shared.guard(request, inner)
                judgement = await self.shared.judge(request)
                inner = await self.shared.inject(request, judgement, inner)
                status, more = await self._exchange(request, judgement, inner)
        except RefusedError as refused:
            self._drop_link()
            _log_request(request, refused.refusal.status, began, refused.refusal.text)
            return await self.client.refuse(refused.refusal)
        except TimeoutError as error:
            raise ClientGoneError from error
        _log_request(request, status, began, judgement.rule)
        return more

    async def _exchange(
        self, request: EgressRequest, judgement: Judgement, inner: Inner
    ) -> tuple[int, bool]:
        """The answer's status, and whether another request may follow."""
        link = await self._link_for(request, judgement)
        head = h11.Request(
            method=inner.method,
            target=inner.target,
            headers=onward_headers(inner, request.destination),
        )
        try:
            return await self._pass(link, head, inner)
        except UpstreamError as error:
            self._drop_link()
            if self.client.answered:
                raise ClientGoneError from error  # half an answer must not look like a whole one
            if not (link.used and inner.repeatable):
                raise RefusedError(_upstream_refusal(request, error)) from error
        link = await self._link_for(request, judgement)
        try:
            return await self._pass(link, head, inner)
        except UpstreamError as error:
            self._drop_link()
            if self.client.answered:
                raise ClientGoneError from error
            raise RefusedError(_upstream_refusal(request, error)) from error

    async def _pass(self, link: Link, head: h11.Request, inner: Inner) -> tuple[int, bool]:
        await link.send_head(head)
        sending = asyncio.ensure_future(self._send_body(link, inner))
        answering = asyncio.ensure_future(self._pass_back(link))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                sending.result()  # raises what ended it; it never just returns before the answer
                raise ClientGoneError
            status = answering.result()
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
        more = await self.client.finish()
        if not more or not link.renew():
            self._drop_link()
        return status, more

    async def _send_body(self, link: Link, inner: Inner) -> None:
        """The request's body, and then whatever the client does until it goes away."""
        window = self.shared.window(self.request)
        try:
            if inner.has_body:
                async for data in self.client.pieces(limits.INTERCEPT_BODY_BYTES):
                    if checked := await window.feed(data):
                        await link.send(checked)
                if rest := await window.finish():
                    await link.send(rest)
            await link.finish()
        except UpstreamError:
            # The server has closed its side early, perhaps after an answer: reading will tell.
            await asyncio.Event().wait()
        await self.client.gone()

    async def _pass_back(self, link: Link) -> int:
        status, headers = await link.head()
        await self.client.begin(status, end_to_end(headers))
        while (data := await link.piece()) is not None:
            await self.client.send(data)
        return status

    async def _link_for(self, request: EgressRequest, judgement: Judgement) -> Link:
        link = self.link
        if link is not None and link.is_open() and (judgement.local or not link.local):
            return link
        self._drop_link()
        self.link = await self.shared.open(request, judgement)
        return self.link

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            with suppress(OSError):
                link.abort()


def _upstream_refusal(request: EgressRequest, error: UpstreamError) -> Refusal:
    status = 504 if isinstance(error, SilentError) else 502
    text = f"{request.destination.authority} does not answer as it should: {error}"
    return denial.blocked(text, status)


def _handshake_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "the handshake failed"
    return str(error) or type(error).__name__


def _where(request: EgressRequest) -> str:
    return f"a request to {request.destination.host}"


def _who(request: EgressRequest) -> dict[str, object]:
    return {"session": request.door.session_id, "group": request.door.agent_group_id}


def _log_request(request: EgressRequest, status: int, began: float, reason: str) -> None:
    target = f"{request.method} {request.destination.authority}"[:200]
    log.info(
        "request inside TLS",
        extra={
            **_who(request),
            "status": status,
            "ms": round((time.monotonic() - began) * 1000),
            "reason": f"{target}: {reason}",
        },
    )
