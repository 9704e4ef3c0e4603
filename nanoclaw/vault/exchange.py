"""One request through the vault: token, policy, key, budget, upstream, answer, bill.

Called by ``doors`` for every request of every connection. The order is the guarantee: nothing is
read before the token fits, nothing is sent before its cost is reserved on disk, and whatever
happens after that ends in a settlement. Bytes of an answer are passed on as they come.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo

import h11

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.config import HostConfig
from nanoclaw.db.doors import Door
from nanoclaw.db.usage import Reservation
from nanoclaw.vault import answers, limits
from nanoclaw.vault.allowance import Allowance
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.charge import End, Outcome, decide_cost
from nanoclaw.vault.client import Client, ClientGoneError, Incoming, RefusedError
from nanoclaw.vault.credentials import Credential, Credentials, Missing
from nanoclaw.vault.decide import (
    Passage,
    Route,
    back_headers,
    decide_passage,
    presented_tokens,
)
from nanoclaw.vault.estimate import Estimate, UnreadableRequestError, estimate
from nanoclaw.vault.meter import Meter
from nanoclaw.vault.upstream import Call, SilentError, UnreachableError, Upstream, UpstreamError
from nanoclaw.vault.words import budget_text

PROVIDER = "claude"
LARGE_BYTES = 256 * 1024
"""A body above this is read on a thread, one at a time."""

log = logging.getLogger(__name__)


class Keyhole(Protocol):
    """A door as a request sees it."""

    door: Door

    def fits(self, token: str) -> bool: ...


@dataclass(slots=True)
class Work:
    """What became of one request so far."""

    door: Door
    passage: Passage
    sent_at: float = 0.0
    status: int | None = None
    """Of upstream's answer; ``told`` is what the client was answered."""
    told: int | None = None
    end: End = End.NOT_SENT
    meter: Meter = field(default_factory=lambda: Meter(stream=False))
    estimate: Estimate | None = None
    request_id: str = ""


class Exchange:
    """Everything that the requests of all doors share."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str], books: Books) -> None:
        self._books = books
        self._credentials = Credentials(config.paths, environment, config.anthropic_key_header)
        self._upstream = Upstream(config.anthropic_base_url)
        self._zone = ZoneInfo(config.timezone)
        self._held = Allowance(limits.MAX_HELD_BYTES)
        self._reading = asyncio.Lock()
        self._settling: set[asyncio.Task[None]] = set()

    async def answer(self, keyhole: Keyhole, incoming: Incoming, client: Client) -> bool:
        """Whether another request may follow on this connection. Raises ClientGoneError."""
        started = time.monotonic()
        passage = self._admit(keyhole, incoming)
        if isinstance(passage, Refusal):
            _log_refusal(keyhole.door, passage)
            return await client.refuse(passage)
        work = Work(keyhole.door, passage)
        try:
            async with asyncio.timeout(limits.EXCHANGE_SECONDS):
                return await self._carry(work, client)
        except RefusedError as refused:
            work.told = refused.refusal.status
            return await client.refuse(refused.refusal)
        except TimeoutError:
            raise ClientGoneError from None
        finally:
            self._settle(work, time.monotonic() - started)

    async def close(self) -> None:
        """After the last request: what is still to be written is written."""
        self._upstream.close()
        if self._settling:
            await asyncio.wait(self._settling)

    def _admit(self, keyhole: Keyhole, incoming: Incoming) -> Passage | Refusal:
        tokens = presented_tokens(incoming.headers)
        if not tokens or not all(keyhole.fits(token) for token in tokens):
            return answers.no_token()
        return decide_passage(incoming.method, incoming.target, incoming.headers)

    async def _carry(self, work: Work, client: Client) -> bool:
        size = work.passage.body_bytes
        try:
            async with self._held.hold(size, limits.HELD_WAIT_SECONDS):
                body = await client.body(size)
                credential = self._credential()
                if work.passage.route is Route.MESSAGES:
                    await self._reserve(work, body)
                call = await self._send(work, credential, body, client)
                del body
        except TimeoutError:
            raise RefusedError(answers.overloaded("too many large requests at once")) from None
        try:
            return await _while_there(client, self._pass_back(work, call, client))
        finally:
            call.close()

    def _credential(self) -> Credential:
        credential = self._credentials.current()
        if isinstance(credential, Missing):
            raise RefusedError(answers.no_credential(credential.text))
        return credential

    async def _reserve(self, work: Work, body: bytes) -> None:
        try:
            if len(body) > LARGE_BYTES:
                async with self._reading:
                    found = await asyncio.to_thread(estimate, body)
            else:
                found = estimate(body)
        except UnreadableRequestError as error:
            raise RefusedError(answers.bad_request(str(error))) from error
        now = utc_now()
        reservation = Reservation(
            request_id=new_id("req"),
            session_id=work.door.session_id,
            agent_group_id=work.door.agent_group_id,
            provider=PROVIDER,
            model=found.model,
            day=now.astimezone(self._zone).date().isoformat(),
            tokens=found.tokens,
            microusd=found.microusd,
            started_at=now,
        )
        try:
            exceeded = await self._books.reserve(reservation)
        except BooksClosedError as error:
            log.error("spending not recorded", extra={"reason": str(error)})
            raise RefusedError(answers.books_closed()) from error
        if exceeded is not None:
            text = budget_text(exceeded, found, reservation.day)
            raise RefusedError(answers.budget_used_up(text))
        work.estimate, work.request_id = found, reservation.request_id

    async def _send(self, work: Work, credential: Credential, body: bytes, client: Client) -> Call:
        """Up to the beginning of the answer, for as long as somebody waits for it."""
        try:
            call = await self._upstream.open()
        except UpstreamError as error:
            raise RefusedError(_refusal_of(error)) from error
        try:
            work.sent_at, work.end = time.monotonic(), End.CUT
            await _while_there(client, call.send(self._head(work.passage, credential), body))
        except UpstreamError as error:
            call.close()
            raise RefusedError(_refusal_of(error)) from error
        except BaseException:
            call.close()
            raise
        return call

    def _head(self, passage: Passage, credential: Credential) -> h11.Request:
        headers = [
            ("host", self._upstream.authority),
            (credential.name, credential.value),
            ("accept-encoding", "identity"),
            *passage.headers,
        ]
        if passage.method != "GET":
            headers.append(("content-length", str(passage.body_bytes)))
        target = self._upstream.base_path + passage.target
        return h11.Request(method=passage.method, target=target, headers=headers)

    async def _pass_back(self, work: Work, call: Call, client: Client) -> bool:
        try:
            head = await call.head()
        except UpstreamError as error:
            raise RefusedError(_refusal_of(error)) from error
        work.status = work.told = head.status
        kind = dict(head.headers).get("content-type", "")
        work.meter = Meter(stream=kind.startswith("text/event-stream"))
        await client.begin(head.status, back_headers(head.headers))
        try:
            while (data := await call.piece()) is not None:
                work.meter.feed(data)
                await client.send(data)
        except UpstreamError as error:
            # The client must see that the answer is not whole: its connection breaks off.
            log.warning("answer cut off", extra={**_who(work.door), "reason": str(error)})
            raise ClientGoneError from error
        work.end = End.WHOLE
        return await client.finish()

    def _settle(self, work: Work, seconds: float) -> None:
        """In the background and whatever happens to this request's task."""
        now = time.monotonic()
        running = now - work.sent_at if work.sent_at else 0.0
        tokens = ""
        if work.estimate is not None:
            reading = work.meter.read(running, work.estimate.output)
            cost = decide_cost(work.estimate, Outcome(work.end, work.status, reading, running))
            task = asyncio.get_running_loop().create_task(self._books.settle(work.request_id, cost))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
            tokens = f"{cost.tokens}"
        _log_request(work, tokens, seconds)


async def _while_there(client: Client, doing: Coroutine[object, object, bool | None]) -> bool:
    """Does it unless the client hangs up before it is done. Raises ClientGoneError."""
    work = asyncio.ensure_future(doing)
    gone = asyncio.ensure_future(client.gone())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGoneError
        return bool(work.result())
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


def _refusal_of(error: UpstreamError) -> Refusal:
    if isinstance(error, UnreachableError):
        return answers.unreachable(str(error))
    return answers.silent() if isinstance(error, SilentError) else answers.foreign(str(error))


def _who(door: Door) -> dict[str, object]:
    return {"session": door.session_id, "group": door.agent_group_id}


def _log_refusal(door: Door, refusal: Refusal) -> None:
    log.warning(
        "request refused",
        extra={**_who(door), "status": refusal.status, "reason": refusal.text},
    )


def _log_request(work: Work, tokens: str, seconds: float) -> None:
    log.info(
        "model request",
        extra={
            **_who(work.door),
            "model": work.estimate.model if work.estimate is not None else None,
            "status": work.told,
            "tokens": tokens or None,
            "ms": round(seconds * 1000),
            "reason": work.passage.route.value if work.end is End.WHOLE else f"{work.end.value}",
        },
    )
