"""Asks people about the requests that the gateway holds, and tells it what they said (7.3).

Started by ``service`` when OneCLI is the backend. Runs for ever: a gateway that cannot be found or
does not answer is tried again with bounded pauses (W-41). Requests are handled at the same time,
each id once, with a bound. Waiter and row are there before the card can be seen (W-40). Whatever
goes wrong with a request denies it.
"""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.approvals import credentials
from nanoclaw.approvals.credential_use import CredentialUse
from nanoclaw.db import gateway as rows
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.connection import transaction
from nanoclaw.vault.books import Books, BooksClosedError
from nanoclaw.vault.gateway.decide import MARGIN_SECONDS, Asked, Listed
from nanoclaw.vault.gateway.health import Health
from nanoclaw.vault.gateway.onecli import OneCli, OneCliError

MAX_AT_ONCE = 64
MAX_ANSWERED = 1000
"""Ids that were answered and are not asked again, should the gateway list them still."""
LOOK_SECONDS = 0.25
"""How often rows are looked at, while somebody waits for one."""
AFTER_ERROR_SECONDS = 5.0
NOTHING_NEW_SECONDS = 1.0
"""For a gateway that does not hold a poll, or lists what it was told to leave out."""
FIND_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
FIND_AGAIN_AFTER = 3
"""Failed polls in a row; the gateway may have moved."""
POST_PAUSES = (0.5, 1.0, 2.0, 5.0)
BOOKS_PAUSE = 2.0
DENY_SECONDS = 30.0
"""For telling of a request that does not say itself how long it waits."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Shorter in tests."""

    after_error: float = AFTER_ERROR_SECONDS
    nothing_new: float = NOTHING_NEW_SECONDS
    find: tuple[float, ...] = FIND_PAUSES
    post: tuple[float, ...] = POST_PAUSES
    look: float = LOOK_SECONDS


class CredentialApprovals:
    """``ring`` tells the delivery process that a card or its end is to be sent."""

    def __init__(
        self, books: Books, onecli: OneCli, health: Health, ring: Callable[[], None],
        pauses: Pauses = Pauses(),
    ) -> None:  # fmt: skip
        self._books = books
        self._onecli = onecli
        self._health = health
        self._ring = ring
        self._pauses = pauses
        self._gateway: str | None = None
        self._work: dict[str, asyncio.Task[None]] = {}
        self._waiters: dict[str, asyncio.Future[ApprovalStatus]] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until it is cancelled; then everything is forgotten, and rows are ended at the next
        start (H-229, H-230)."""
        try:
            await self._take_over()
            failures = 0
            while True:
                try:
                    await self._poll()
                except OneCliError as error:
                    self._health.fails(str(error))
                    failures += 1
                    if failures % FIND_AGAIN_AFTER == 0:
                        self._gateway = None
                    await asyncio.sleep(self._pauses.after_error)
                else:
                    failures = 0
        finally:
            await self._forget()

    async def _take_over(self) -> None:
        """What an earlier vault left (H-230): cards that nobody waits for, answers not given."""
        while True:
            try:
                left = await self._books.run(_end_open)
            except BooksClosedError as error:
                log.warning("requests of earlier not ended", extra={"reason": str(error)})
                await asyncio.sleep(BOOKS_PAUSE)
                continue
            break
        reached("vault.credentials_ended")
        self._ring()
        for approval in left:
            self._begin(approval.request_id, self._tell_late(approval))

    async def _poll(self) -> None:
        """One list. Raises OneCliError."""
        if len(self._work) >= MAX_AT_ONCE:
            await asyncio.wait(self._work.values(), return_when=asyncio.FIRST_COMPLETED)
        gateway = self._gateway or await self._find()
        listed = await self._onecli.pending(gateway, tuple(self._work))
        self._health.works()
        new = [
            item
            for item in listed
            if item.request_id not in self._work and item.request_id not in self._answered
        ]
        for item in new[: MAX_AT_ONCE - len(self._work)]:
            self._begin(item.request_id, self._handle(item))
        if not new:
            await asyncio.sleep(self._pauses.nothing_new)

    async def _find(self) -> str:
        """The gateway's address, however long it takes (W-41)."""
        attempt = 0
        while True:
            try:
                self._gateway = await self._onecli.gateway_url()
            except OneCliError as error:
                self._health.fails(str(error))
                pauses = self._pauses.find
                await asyncio.sleep(pauses[min(attempt, len(pauses) - 1)])
                attempt += 1
            else:
                return self._gateway

    # --- one request ------------------------------------------------------------------------------

    def _begin(self, request_id: str, doing: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._work[request_id] = task
        task.add_done_callback(lambda _: self._work.pop(request_id, None))

    async def _handle(self, item: Listed) -> None:
        card_id, approve = None, False
        seconds = item.seconds if isinstance(item, Asked) else DENY_SECONDS
        deadline = asyncio.get_running_loop().time() + seconds + MARGIN_SECONDS
        if isinstance(item, Asked):
            try:
                card_id = await self._ask(item.use)
                if card_id is not None:
                    approve = await self._wait(item, card_id) is ApprovalStatus.APPROVED
            except Exception as error:  # noqa: BLE001  any error denies (H-233)
                approve = False
                log.error("credential denied", extra={"reason": f"{item.request_id}: {error!r}"})
        else:
            log.warning("credential denied", extra={"reason": f"{item.request_id}: {item.reason}"})
        await self._tell(item.request_id, approve, deadline)
        await self._remove(card_id)

    async def _ask(self, use: CredentialUse) -> str | None:
        self._waiters[use.request_id] = asyncio.get_running_loop().create_future()
        card_id = await self._books.run(lambda conn: _ask(conn, use))
        if card_id is not None:
            reached("vault.credential_asked")
            self._ring()
        return card_id

    async def _wait(self, item: Asked, card_id: str) -> ApprovalStatus:
        """The click, or that it is too late (H-234)."""
        waiter = self._waiters[item.request_id]
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        left = (item.use.expires_at - utc_now()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await waiter
        except TimeoutError:
            status = await self._books.run(lambda conn: _end_late(conn, card_id))
            self._ring()
            return status

    async def _look(self) -> None:
        """Compares the rows with who waits, for as long as anybody does."""
        while self._waiters:
            try:
                for approval in await self._books.run(rows.decided):
                    waiter = self._waiters.get(approval.request_id)
                    if waiter is not None and not waiter.done():
                        waiter.set_result(approval.status)
            except BooksClosedError as error:
                log.warning("answers not read", extra={"reason": str(error)})
            await asyncio.sleep(self._pauses.look)

    async def _tell(self, request_id: str, approve: bool, deadline: float) -> None:
        """Tried until the gateway has it, or has itself given up."""
        self._waiters.pop(request_id, None)
        self._answered[request_id] = None
        while len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)
        attempt, loop = 0, asyncio.get_running_loop()
        while True:
            try:
                gateway = self._gateway or await self._onecli.gateway_url()
                await self._onecli.decide(gateway, request_id, approve=approve)
            except OneCliError as error:
                pauses = self._pauses.post
                pause = pauses[min(attempt, len(pauses) - 1)]
                if loop.time() + pause > deadline:
                    log.error("gateway not told", extra={"reason": f"{request_id}: {error}"})
                    return
                attempt += 1
                await asyncio.sleep(pause)
            else:
                word = "approve" if approve else "deny"
                log.info("gateway told", extra={"reason": f"{request_id}: {word}"})
                reached("vault.credential_told")
                return

    async def _tell_late(self, approval: Approval) -> None:
        """A person decided, and the vault was killed before the gateway knew."""
        left = ((approval.expires_at or approval.created_at) - utc_now()).total_seconds()
        if left > 0:
            approve = approval.status is ApprovalStatus.APPROVED
            deadline = asyncio.get_running_loop().time() + left
            await self._tell(approval.request_id, approve, deadline)
        await self._remove(approval.approval_id)

    async def _remove(self, card_id: str | None) -> None:
        """One that stays is removed at the next start."""
        if card_id is None:
            return
        try:
            await self._books.run(lambda conn: _finish(conn, card_id))
        except BooksClosedError as error:
            log.warning("request not removed", extra={"reason": str(error)})

    async def _forget(self) -> None:
        tasks = [*self._work.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiters.clear()


def _end_open(conn: sqlite3.Connection) -> list[Approval]:
    with transaction(conn):
        return credentials.end_open(conn, utc_now())


def _ask(conn: sqlite3.Connection, use: CredentialUse) -> str | None:
    with transaction(conn):
        return credentials.ask(conn, use, utc_now())


def _end_late(conn: sqlite3.Connection, card_id: str) -> ApprovalStatus:
    with transaction(conn):
        return credentials.end_late(conn, card_id, utc_now())


def _finish(conn: sqlite3.Connection, card_id: str) -> None:
    """The gateway has its answer. A card that is still open after an error is taken back."""
    with transaction(conn):
        credentials.end_late(conn, card_id, utc_now())
        rows.remove(conn, card_id)
