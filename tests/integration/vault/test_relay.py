"""The relay of the container in front of a real vault."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import Call, FakeUpstream

from contract.config import DoorConfig
from runner.door import MAX_CONNECTIONS, Relay

BODY = json.dumps(PROMPT).encode()


def through(door: DoorClient, work: Callable[[Relay], Awaitable[None]], **options: float) -> None:
    """Runs ``work`` with a relay as the runner has it."""

    async def run() -> None:
        config = DoorConfig(token=door.token, folder=str(door.socket.parent))
        relay = Relay(config, **options)
        await relay.start()
        try:
            async with asyncio.timeout(30):
                await work(relay)
        finally:
            await relay.close()

    asyncio.run(run())


def request(relay: Relay) -> bytes:
    """As a program writes it that knows nothing but the environment."""
    environment = relay.environment()
    assert environment["ANTHROPIC_BASE_URL"] == relay.base_url
    token = environment["ANTHROPIC_AUTH_TOKEN"]
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        f"connection: close\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


async def connect(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = relay.base_url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def ask(relay: Relay) -> bytes:
    reader, writer = await connect(relay)
    writer.write(request(relay))
    answer = await reader.read()
    writer.close()
    return answer


def test_program_with_the_two_variables_reaches_the_model(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()

    async def work(relay: Relay) -> None:
        assert relay.base_url.startswith("http://127.0.0.1:")
        answer = await ask(relay)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Hello" in answer

    through(vault.new_door(), work)


def test_first_bytes_come_through_at_once(vault: VaultProcess, upstream: FakeUpstream) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        upstream.gate.wait(20)
        call.end_stream()

    upstream.play = play
    vault.start()

    async def work(relay: Relay) -> None:
        reader, writer = await connect(relay)
        writer.write(request(relay))
        await reader.readuntil(b"message_start")
        upstream.gate.set()
        assert b"message_stop" in await reader.read()
        writer.close()

    through(vault.new_door(), work)


def test_vault_that_restarts_is_waited_for(vault: VaultProcess, upstream: FakeUpstream) -> None:
    vault.start()
    door = vault.new_door()

    async def work(relay: Relay) -> None:
        assert b"Hello" in await ask(relay)
        vault.kill()
        asked = asyncio.create_task(ask(relay))
        await asyncio.to_thread(vault.start)
        assert b"Hello" in await asked

    through(door, work)


def test_vault_that_stays_away_ends_the_connection(vault: VaultProcess) -> None:
    async def work(relay: Relay) -> None:
        assert await ask(relay) == b""

    through(vault.new_door(), work, connect_seconds=0.2)


def test_vault_killed_in_the_middle_breaks_the_answer_off(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.wait_for_hang_up()

    upstream.play = play
    vault.start()

    async def work(relay: Relay) -> None:
        reader, writer = await connect(relay)
        writer.write(request(relay))
        await reader.readuntil(b"message_start")
        await asyncio.to_thread(vault.kill)
        rest = await reader.read()
        assert not rest.endswith(b"0\r\n\r\n")
        writer.close()

    through(vault.new_door(), work)


def test_client_that_goes_away_is_noticed_at_the_far_end(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.wait_for_hang_up()

    upstream.play = play
    vault.start()

    async def work(relay: Relay) -> None:
        reader, writer = await connect(relay)
        writer.write(request(relay))
        await reader.readuntil(b"message_start")
        writer.close()
        assert await asyncio.to_thread(upstream.hung_up.wait, 10)

    through(vault.new_door(), work)


def test_more_connections_than_places_take_turns(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    number = MAX_CONNECTIONS + 30

    async def work(relay: Relay) -> None:
        answers = await asyncio.gather(*(ask(relay) for _ in range(number)))
        assert sum(b"Hello" in answer for answer in answers) == number

    through(vault.new_door(), work)


def test_close_ends_what_is_open(tmp_path: Path) -> None:
    async def run() -> None:
        relay = Relay(DoorConfig(token="t", folder=str(tmp_path)))
        await relay.start()
        reader, writer = await connect(relay)
        await relay.close()
        assert await reader.read() == b""
        writer.close()

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() == before
