"""What happens when somebody goes away, or comes in between, at the worst moment."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from helpers.central import make_home
from helpers.vault_upstream import Call, FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.config import SecretsBackend
from nanoclaw.db.doors import Door
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.vault.attempts import Attempt
from nanoclaw.vault.books import Books
from nanoclaw.vault.decide import Passage, Route
from nanoclaw.vault.endpoints.decide import LONG_SECONDS, Rest
from nanoclaw.vault.exchange import Exchange, Work
from nanoclaw.vault.oauth import OAuthKeys, parse_tokens
from nanoclaw.vault.planning import Plan
from nanoclaw.vault.prices import SHIPPED

NAME = "family-oauth"


def renewing(call: Call) -> None:
    call.upstream.gate.wait(30)
    call.whole(json.dumps({"access_token": "at-1", "refresh_token": "rt-1"}).encode())


def ending(store: SecretStore, url: str, access: str = "at-0", seconds: float = 1) -> None:
    value = {
        "access_token": access, "refresh_token": "rt-0", "client_id": "us",
        "expires_at": utc_now().timestamp() + seconds, "token_url": f"{url}/token",
    }  # fmt: skip
    store.put(NAME, json.dumps(value), None, utc_now())


async def turns() -> None:
    """Of the loop, in which closed connections end."""
    for _ in range(5):
        await asyncio.sleep(0)


def store_in(folder: Path) -> SecretStore:
    return SecretStore(HostPaths(folder), SecretsBackend.FILES)


def test_renewed_tokens_are_stored_when_whoever_asked_has_gone_away(tmp_path: Path) -> None:
    """Where a refresh token is taken only once, an answer that is dropped locks everybody out."""
    store = store_in(tmp_path)

    async def run(tokens: FakeUpstream) -> None:
        keys = OAuthKeys(store)
        asking = asyncio.create_task(keys.current(NAME))
        await asyncio.to_thread(wait_until, lambda: len(tokens.seen) == 1, what="it was asked")
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        tokens.gate.set()
        await keys.close()
        await turns()

    with FakeUpstream(renewing) as tokens:
        ending(store, tokens.url)
        asyncio.run(run(tokens))

    assert parse_tokens(store.get(NAME) or "").refresh == "rt-1"


def test_next_one_joins_a_renewal_that_is_under_way(tmp_path: Path) -> None:
    store = store_in(tmp_path)

    async def run(tokens: FakeUpstream) -> object:
        keys = OAuthKeys(store)
        asking = asyncio.create_task(keys.current(NAME))
        await asyncio.to_thread(wait_until, lambda: len(tokens.seen) == 1, what="it was asked")
        asking.cancel()
        second = asyncio.create_task(keys.current(NAME))
        with suppress(asyncio.CancelledError):
            await asking
        tokens.gate.set()
        answered = await second
        await turns()
        return answered

    with FakeUpstream(renewing) as tokens:
        ending(store, tokens.url)
        found = asyncio.run(run(tokens))

        assert getattr(found, "value", None) == "Bearer at-1"
        assert len(tokens.seen) == 1


def test_tokens_stored_by_hand_during_a_renewal_are_not_overwritten(tmp_path: Path) -> None:
    store = store_in(tmp_path)

    async def run(tokens: FakeUpstream) -> object:
        asking = asyncio.create_task(OAuthKeys(store).current(NAME))
        await asyncio.to_thread(wait_until, lambda: len(tokens.seen) == 1, what="it was asked")
        ending(store_in(tmp_path), tokens.url, "at-by-hand", 3600)
        tokens.gate.set()
        answered = await asking
        await turns()
        return answered

    with FakeUpstream(renewing) as tokens:
        ending(store, tokens.url)
        found = asyncio.run(run(tokens))

    assert getattr(found, "value", None) == "Bearer at-by-hand"
    assert parse_tokens(store.get(NAME) or "").access == "at-by-hand"


def test_owner_is_told_once_a_day_of_an_endpoint_that_fails_for_long(tmp_path: Path) -> None:
    config, conn = make_home(tmp_path)
    door = Door("sess-1", "ag-1", "0a1b2c3d", "", 1, utc_now())
    work = Work(door, Passage(Route.MESSAGES, "POST", "/v1/messages", (), 0), ())
    rung: list[bool] = []

    async def run() -> None:
        books = Books(config.paths.central_db, lambda: rung.append(True))
        exchange = Exchange(config, {}, books)
        (endpoint,) = exchange._endpoints.candidates(None, None)
        attempt = Attempt(endpoint, Plan([endpoint], SHIPPED))
        await exchange._note(work, attempt, None, "no connection")
        endpoint.rest = replace(endpoint.rest, since=endpoint.rest.since - LONG_SECONDS)
        for _ in range(3):
            await exchange._note(work, attempt, None, "no connection")
        await exchange.close()
        books.close()

    asyncio.run(run())

    (text,) = [row[0] for row in conn.execute("SELECT text FROM owner_notices")]
    conn.close()
    assert "default has been failing for 15 minutes" in text
    assert "no connection" in text
    assert "agents get no answers" in text
    assert rung == [True]


class SilentCall:
    """An endpoint that takes a request and says nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def head(self) -> object:
        self.asked.set()
        return await asyncio.Event().wait()


def test_endpoint_is_tried_again_when_the_one_who_tried_it_has_hung_up(tmp_path: Path) -> None:
    config, conn = make_home(tmp_path)
    conn.close()
    door = Door("sess-1", "ag-1", "0a1b2c3d", "", 1, utc_now())

    async def run() -> Rest:
        books = Books(config.paths.central_db)
        exchange = Exchange(config, {}, books)
        (endpoint,) = exchange._endpoints.candidates(None, None)
        endpoint.rest = Rest(1, 0.0, probing=True)
        call = SilentCall()
        attempt = Attempt(endpoint, Plan([endpoint], SHIPPED), call=call)  # type: ignore[arg-type]
        work = Work(door, Passage(Route.MESSAGES, "POST", "/v1/messages", (), 0), ())
        waiting = asyncio.create_task(
            exchange._pass_back(work, attempt, None)  # type: ignore[arg-type]
        )
        await call.asked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        books.close()
        return endpoint.rest

    assert not asyncio.run(run()).probing
