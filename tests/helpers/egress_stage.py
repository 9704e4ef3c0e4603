"""A door without a vault: the proxy's own code behind a Unix socket, with rules from a dict."""

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from helpers.vault_client import DoorClient

from contract.clock import utc_now
from nanoclaw.db.doors import Door
from nanoclaw.vault.client import Client, ClientGoneError, RefusedError
from nanoclaw.vault.dispatch import Dispatch
from nanoclaw.vault.egress import Egress
from nanoclaw.vault.egress_types import EgressRequest, Interceptor, Judgement, Verdict
from nanoclaw.vault.exchange import Exchange
from nanoclaw.vault.limits import Patience
from nanoclaw.vault.reach import Reach
from nanoclaw.vault.resolve import Address

TOKEN = "the-token-of-this-door"
ALLOW = Judgement(Verdict.ALLOW, "", "test")
LOCAL = Judgement(Verdict.ALLOW, "", "test", local=True)


@dataclass(slots=True)
class DictPolicy:
    """By host; what is not there is refused."""

    rules: dict[str, Judgement] = field(default_factory=dict)
    asked: list[EgressRequest] = field(default_factory=list)

    async def judge(self, request: EgressRequest) -> Judgement:
        self.asked.append(request)
        host = request.destination.host
        unknown = Judgement(Verdict.ASK, f"{host} is not allowed yet; the owner is asked", "test")
        return self.rules.get(host, unknown)


@dataclass(slots=True)
class Opener:
    """A door that knows one token."""

    door: Door

    def fits(self, token: str) -> bool:
        return token == TOKEN


class NoModel:
    """In the place of the model's route: remembers who came."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    async def answer(self, keyhole: object, incoming: object, client: Client) -> bool:
        self.targets.append(getattr(incoming, "target", ""))
        await client.begin(200, (("content-length", "5"),))
        await client.send(b"model")
        return await client.finish()


@dataclass(slots=True)
class EgressStage:
    socket: Path
    policy: DictPolicy
    egress: Egress
    model: NoModel
    names: dict[str, list[str]]
    """What its resolver knows, and what it was asked for."""
    lookups: list[str]

    @property
    def door(self) -> DoorClient:
        return DoorClient(self.socket, TOKEN)


@contextmanager
def egress_stage(
    folder: Path,
    rules: Mapping[str, Judgement] | None = None,
    *,
    interceptor: Interceptor | None = None,
    kept: tuple[tuple[str, int], ...] = (),
) -> Iterator[EgressStage]:
    """Served by a thread until the end of the block."""
    names: dict[str, list[str]] = {}
    lookups: list[str] = []

    def look_up(host: str, port: int) -> list[Address]:
        lookups.append(host)
        if host not in names:
            raise OSError("no such name")
        return [ipaddress.ip_address(text) for text in names[host]]

    policy, model = DictPolicy(dict(rules or {})), NoModel()
    egress = Egress(policy, kept, reach=Reach(look_up))
    egress.interceptor = interceptor
    stage = EgressStage(folder / "door.sock", policy, egress, model, names, lookups)
    started, loop = threading.Event(), asyncio.new_event_loop()
    finish = asyncio.Event()

    async def run() -> None:
        tasks: set[asyncio.Task[None]] = set()
        dispatch = Dispatch(cast(Exchange, model), egress)
        keyhole = Opener(Door("sess-1", "ag-1", "0" * 8, "", 1, utc_now()))

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            client = Client(reader, writer, Patience(head=10, body=10, linger=1))
            task = asyncio.create_task(_serve(dispatch, keyhole, client))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_unix_server(accept, stage.socket)
        started.set()
        await finish.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(20)
    try:
        yield stage
    finally:
        loop.call_soon_threadsafe(finish.set)
        thread.join(20)
        loop.close()


async def _serve(dispatch: Dispatch, keyhole: Opener, client: Client) -> None:
    try:
        with contextlib.suppress(ClientGoneError):
            while True:
                try:
                    incoming = await client.next_request()
                except RefusedError as refused:
                    await client.refuse(refused.refusal)
                    return
                if incoming is None or not await dispatch.answer(keyhole, incoming, client):
                    return
    finally:
        await client.close()
        client.abort()
