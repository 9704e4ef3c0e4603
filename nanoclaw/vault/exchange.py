"""One request through the vault: token, policy, key, budget, upstream, answer, bill.

Called by ``doors`` for every request of every connection. The order is the guarantee: nothing is
read before the token fits, nothing is sent before its cost is reserved on disk, and whatever
happens after that ends in a settlement. Where an endpoint fails before its first byte the next one
is asked; bytes of an answer are passed on as they come.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.audit import AuditEntry
from nanoclaw.config import HostConfig
from nanoclaw.db.doors import Door
from nanoclaw.db.usage import Reservation
from nanoclaw.secret_store.store import open_store
from nanoclaw.vault import answers, limits
from nanoclaw.vault.allowance import Allowance
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.attempts import Attempt, FailedError, failed, refusal_of, retry_after
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.charge import End
from nanoclaw.vault.client import Client, ClientGoneError, Incoming, RefusedError
from nanoclaw.vault.credentials import Credential
from nanoclaw.vault.decide import (
    Headers,
    Passage,
    Route,
    back_headers,
    decide_passage,
    presented_tokens,
)
from nanoclaw.vault.endpoints.decide import Failure, is_failure, may_go_on
from nanoclaw.vault.endpoints.pool import Endpoint, Endpoints
from nanoclaw.vault.gateway.model import ModelGateway
from nanoclaw.vault.leak_guard import LeakGuard
from nanoclaw.vault.meter import Meter
from nanoclaw.vault.planning import Keys, Plan, Planner, credential_for
from nanoclaw.vault.upstream import Head, Upstream, UpstreamError
from nanoclaw.vault.words import budget_text, outage_text

PROVIDER = "claude"

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
    headers: Headers
    attempt: Attempt | None = None
    """The one that is under way, or was the last."""
    told: int | None = None
    """The status that the client was answered with."""


class Exchange:
    """Everything that the requests of all doors share."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str], books: Books) -> None:
        self._books = books
        self._keys = Keys(config.paths, environment, open_store(config))
        self.guard = LeakGuard(config, environment, books)
        self._endpoints = Endpoints(config)
        self.gateway: ModelGateway | None = None
        self._planner = Planner(config, books, self._endpoints)
        self._zone = ZoneInfo(config.timezone)
        self._held = Allowance(limits.MAX_HELD_BYTES, limits.MAX_HELD_BYTES_PER_GROUP)
        self._settling: set[asyncio.Task[None]] = set()

    async def answer(self, keyhole: Keyhole, incoming: Incoming, client: Client) -> bool:
        """Whether another request may follow on this connection. Raises ClientGoneError."""
        started = time.monotonic()
        passage = self._admit(keyhole, incoming)
        if isinstance(passage, Refusal):
            _log_refusal(keyhole.door, passage)
            return await client.refuse(passage)
        work = Work(keyhole.door, passage, incoming.headers)
        try:
            async with asyncio.timeout(limits.EXCHANGE_SECONDS):
                return await self._carry(work, client)
        except RefusedError as refused:
            work.told = refused.refusal.status
            return await client.refuse(refused.refusal)
        except TimeoutError:
            raise ClientGoneError from None
        finally:
            tokens = self._settle(work)
            _log_request(work, tokens, time.monotonic() - started)

    async def close(self) -> None:
        """After the last request: what is still to be written is written."""
        await self._keys.close()
        self._endpoints.close()
        if self._settling:
            await asyncio.wait(self._settling)

    def _admit(self, keyhole: Keyhole, incoming: Incoming) -> Passage | Refusal:
        tokens = presented_tokens(incoming.headers)
        if not tokens or not all(keyhole.fits(token) for token in tokens):
            return answers.no_token()
        return decide_passage(incoming.method, incoming.target, incoming.headers)

    async def _carry(self, work: Work, client: Client) -> bool:
        size, owner = work.passage.body_bytes, work.door.agent_group_id
        try:
            async with self._held.hold(owner, size, limits.HELD_WAIT_SECONDS):
                body = await client.body(size)
                await self.guard.check(work.door, "a request to the model", body)
                plan = await self._planner.plan(work.door, work.passage.route, work.headers, body)
                attempt = await self._begin(work, plan, body, client)
                del body
        except TimeoutError:
            raise RefusedError(answers.overloaded("too many large requests at once")) from None
        try:
            return await _while_there(client, self._pass_back(work, attempt, client))
        finally:
            attempt.close()

    async def _begin(self, work: Work, plan: Plan, body: bytes, client: Client) -> Attempt:
        """Asks one endpoint after the other until one answers. Raises RefusedError."""
        waiting = list(plan.endpoints)
        fresh = False
        while True:
            attempt = await self._prepare(work, plan, waiting[0])
            try:
                await self._try(work, attempt, body, client, fresh=fresh)
                if attempt.head is not None and is_failure(attempt.head.status):
                    attempt.status = attempt.head.status
                    if _may_go_on(plan, waiting, Failure.REFUSED, attempt.status):
                        attempt.close()
                        refusal = answers.foreign(f"status {attempt.status}")
                        raise FailedError(Failure.REFUSED, refusal)
            except FailedError as error:
                again = error.stale and plan.repeatable and not fresh
                if not again and not _may_go_on(plan, waiting, error.failure, attempt.status):
                    raise RefusedError(error.refusal) from error
                await self._settle_now(work)
                fresh = again
                waiting = waiting if again else waiting[1:]
            else:
                return attempt

    async def _prepare(self, work: Work, plan: Plan, endpoint: Endpoint) -> Attempt:
        """With its key and its reservation. Raises RefusedError."""
        attempt = Attempt(endpoint, plan)
        if work.passage.route is Route.MESSAGES:
            # Looked for before money is set aside; it is read again when it is sent.
            await self._way(plan, endpoint, work.door)
            attempt.request_id = await self._reserve(work, plan)
        work.attempt = attempt
        return attempt

    async def _try(
        self, work: Work, attempt: Attempt, body: bytes, client: Client, *, fresh: bool
    ) -> None:
        """Raises FailedError, RefusedError and ClientGoneError."""
        endpoint, plan = attempt.endpoint, attempt.plan
        upstream, credential = await self._way(plan, endpoint, work.door)
        self._endpoints.begin(endpoint)
        try:
            attempt.call = await upstream.open(fresh=fresh)
            attempt.sent_at, attempt.end = time.monotonic(), End.CUT
            await _while_there(client, attempt.send(work.passage, credential, body))
        except UpstreamError as error:
            attempt.close()
            failure = failed(attempt, error)
            if failure.stale:
                self._endpoints.left(endpoint)
            else:
                await self._note(work, attempt, None, str(error))
            raise failure from error
        except BaseException:
            self._endpoints.left(endpoint)
            attempt.close()
            raise
        if attempt.head is not None:
            await self._note(work, attempt, attempt.head)

    async def _way(self, plan: Plan, endpoint: Endpoint, door: Door) -> tuple[Upstream, Credential]:
        """Through the gateway where the key is there and not here. Raises RefusedError."""
        if self.gateway is not None and not (endpoint.settings.credential or plan.credential):
            found = await self.gateway.way(endpoint, door)
            if found is not None:
                return found
        return endpoint.upstream, await credential_for(plan, endpoint, self._keys, door)

    async def _note(
        self, work: Work, attempt: Attempt, head: Head | None, reason: str = ""
    ) -> None:
        """How the endpoint did. The first of a row of failures goes into the audit trail."""
        endpoint = attempt.endpoint
        if head is not None and not is_failure(head.status):
            self._endpoints.worked(endpoint)
            return
        reason = reason or f"status {head.status if head is not None else None}"
        in_a_row = self._endpoints.failed(endpoint, retry_after(head) if head else None)
        await self._tell_outage(endpoint, reason)
        if in_a_row != 1 or len(self._endpoints.names) < 2:
            return
        log.warning("endpoint fails", extra={"reason": f"{endpoint.name}: {reason}"})
        door = work.door
        entry = AuditEntry(
            "endpoint.failed", "host", endpoint.name, {"reason": reason[:200]},
            door.agent_group_id, door.session_id,
        )  # fmt: skip
        try:
            await self._books.record(entry)
        except BooksClosedError as error:
            log.error("failure not recorded", extra={"reason": str(error)})

    async def _tell_outage(self, endpoint: Endpoint, reason: str) -> None:
        """An owner, once a day."""
        outage = self._endpoints.outage(endpoint)
        if outage is None:
            return
        text = outage_text(
            endpoint.name, outage.seconds, reason[:200], others_work=outage.others_work
        )
        day = utc_now().astimezone(self._zone).date()
        try:
            await self._books.tell_owner(f"endpoint-fails/{endpoint.name}/{day}", text)
        except BooksClosedError as error:
            log.error("outage not told", extra={"reason": str(error)})

    async def _reserve(self, work: Work, plan: Plan) -> str:
        """The reservation's id. Raises RefusedError."""
        found = plan.estimate
        assert found is not None, "a request that costs money was estimated"
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
            series_id=plan.series_id,
            group_day_microusd=plan.group_day_microusd,
        )
        try:
            exceeded = await self._books.reserve(reservation)
        except BooksClosedError as error:
            log.error("spending not recorded", extra={"reason": str(error)})
            raise RefusedError(answers.books_closed()) from error
        if exceeded is not None:
            text = budget_text(exceeded.facts)
            raise RefusedError(answers.budget_used_up(text, told=exceeded.told))
        return reservation.request_id

    async def _pass_back(self, work: Work, attempt: Attempt, client: Client) -> bool:
        call, head = attempt.call, attempt.head
        assert call is not None, "it was sent"
        if head is None:
            try:
                head = await call.head()
            except UpstreamError as error:
                await self._note(work, attempt, None, str(error))
                raise RefusedError(refusal_of(error)) from error
            except BaseException:
                self._endpoints.left(attempt.endpoint)
                raise
            await self._note(work, attempt, head)
        attempt.status = work.told = head.status
        kind = dict(head.headers).get("content-type", "")
        attempt.meter = Meter(stream=kind.startswith("text/event-stream"))
        await client.begin(head.status, back_headers(head.headers))
        try:
            while (data := await call.piece()) is not None:
                attempt.meter.feed(data)
                await client.send(data)
        except UpstreamError as error:
            # The client must see that the answer is not whole: its connection breaks off.
            log.warning("answer cut off", extra={**_who(work.door), "reason": str(error)})
            raise ClientGoneError from error
        attempt.end = End.WHOLE
        return await client.finish()

    def _settle(self, work: Work) -> str:
        """In the background and whatever happens to this request's task; what is charged."""
        attempt = work.attempt
        cost = attempt.cost() if attempt is not None else None
        if attempt is None or cost is None:
            return ""
        task = asyncio.get_running_loop().create_task(self._books.settle(attempt.request_id, cost))
        attempt.request_id = ""
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return f"{cost.tokens}"

    async def _settle_now(self, work: Work) -> None:
        """So that the next attempt finds room again in the budget."""
        before = set(self._settling)
        self._settle(work)
        if mine := self._settling - before:
            await asyncio.wait(mine)


def _may_go_on(plan: Plan, waiting: list[Endpoint], failure: Failure, status: int | None) -> bool:
    return len(waiting) > 1 and may_go_on(failure, status, repeatable=plan.repeatable)


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


def _who(door: Door) -> dict[str, object]:
    return {"session": door.session_id, "group": door.agent_group_id}


def _log_refusal(door: Door, refusal: Refusal) -> None:
    log.warning(
        "request refused",
        extra={**_who(door), "status": refusal.status, "reason": refusal.text},
    )


def _log_request(work: Work, tokens: str, seconds: float) -> None:
    attempt = work.attempt
    found = attempt.plan.estimate if attempt is not None else None
    end = attempt.end if attempt is not None else End.NOT_SENT
    log.info(
        "model request",
        extra={
            **_who(work.door),
            "model": found.model if found is not None else None,
            "status": work.told,
            "tokens": tokens or None,
            "ms": round(seconds * 1000),
            "reason": work.passage.route.value if end is End.WHOLE else f"{end.value}",
        },
    )
