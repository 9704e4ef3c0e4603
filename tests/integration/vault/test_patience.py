"""Clients that take their time: each wait has an end."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from nanoclaw.vault.client import Client, ClientGoneError, Incoming, RefusedError
from nanoclaw.vault.limits import Patience

SHORT = Patience(idle=0.1, head=0.1, body=0.1, write=0.1, linger=0.1)
HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"


def talk(work: Callable[[Client, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=ours)
            client = Client(reader, writer, SHORT)
            try:
                async with asyncio.timeout(20):
                    await work(client, theirs)
            finally:
                client.abort()

    asyncio.run(run())


def test_connection_without_a_request_is_ended() -> None:
    async def work(client: Client, theirs: socket.socket) -> None:
        assert await client.next_request() is None

    talk(work)


@pytest.mark.parametrize("piece", [b"P", HEAD[:-2]])
def test_head_that_never_ends_is_refused(piece: bytes) -> None:
    async def work(client: Client, theirs: socket.socket) -> None:
        theirs.send(piece)
        with pytest.raises(RefusedError) as refused:
            await client.next_request()
        assert refused.value.refusal.status == 408
        assert not await client.refuse(refused.value.refusal)
        assert theirs.recv(1000).startswith(b"HTTP/1.1 408 ")

    talk(work)


def test_body_that_never_ends_is_refused() -> None:
    async def work(client: Client, theirs: socket.socket) -> None:
        theirs.send(HEAD + b"12345")
        assert isinstance(await client.next_request(), Incoming)
        with pytest.raises(RefusedError) as refused:
            await client.body(10)
        assert refused.value.refusal.status == 408

    talk(work)


def test_client_that_takes_nothing_is_given_up() -> None:
    async def work(client: Client, theirs: socket.socket) -> None:
        theirs.send(HEAD + b"1234567890")
        await client.next_request()
        await client.body(10)
        await client.begin(200, (("content-length", str(1 << 30)),))
        with pytest.raises(ClientGoneError):
            for _ in range(1000):
                await client.send(b"x" * 65536)

    talk(work)


def test_client_that_talks_while_it_should_listen_is_given_up() -> None:
    async def work(client: Client, theirs: socket.socket) -> None:
        theirs.send(HEAD + b"1234567890")
        await client.next_request()
        await client.body(10)
        gone = asyncio.create_task(client.gone())
        sent = 0
        while not gone.done():
            with contextlib.suppress(BlockingIOError):
                sent += theirs.send(b"y" * 8192)
            await asyncio.sleep(0)
        assert sent < 1_000_000

    talk(work)
