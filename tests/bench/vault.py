"""What the vault adds to a request, and how many streams it carries at one time.

The same scripted address is asked directly and through relay and door. Nothing is asserted.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from helpers.vault_process import VaultProcess
from helpers.vault_upstream import Call, FakeUpstream

from bench.figures import Figure, percentile, single
from contract.config import DoorConfig
from runner.door import Relay

BODY = (
    b'{"model": "claude-haiku-4-5", "max_tokens": 100, "stream": true,'
    b' "messages": [{"role": "user", "content": "hello"}]}'
)
STREAMS = 50
EVENTS = 200


def measure_vault(folder: Path, count: int) -> list[Figure]:
    with FakeUpstream() as upstream, VaultProcess(folder) as vault:
        vault.settings(anthropic_base_url=upstream.url)
        vault.key()
        vault.start()
        door = vault.new_door()
        return asyncio.run(_measure(upstream, door.socket, door.token, count))


async def _measure(upstream: FakeUpstream, socket: Path, token: str, count: int) -> list[Figure]:
    relay = Relay(DoorConfig(folder=str(socket.parent), token=token))
    await relay.start()
    port = int(relay.base_url.rsplit(":", 1)[1])
    try:
        direct = int(upstream.url.rsplit(":", 1)[1])
        plain, through = [], []
        for _ in range(count):  # one by one, so that the machine's moods fall on both alike
            plain.append(await _first_byte(direct, token))
            through.append(await _first_byte(port, token))
        upstream.play = _long
        began = time.monotonic()
        sizes = await asyncio.gather(*(_whole(port, token) for _ in range(STREAMS)))
        seconds = time.monotonic() - began
    finally:
        await relay.close()
    return _figures(plain, through, sum(sizes) / seconds / 1e6)


def _figures(plain: list[float], through: list[float], rate: float) -> list[Figure]:
    plain, through = sorted(plain), sorted(through)
    p50 = statistics.median(through) - statistics.median(plain)
    p95 = percentile(through, 0.95) - percentile(plain, 0.95)
    note = "difference of the percentiles, relay and door against direct"
    return [
        Figure("vault: added latency to the first byte", "ms", p50, p50, p95, len(through),
               note=note),
        single(f"vault: {STREAMS} streams at one time", "MB/s", rate,
               note=f"{EVENTS} events each; the scripted address shares the machine"),
    ]  # fmt: skip


async def _first_byte(port: int, token: str) -> float:
    began = time.perf_counter()
    reader, writer = await _ask(port, token)
    await reader.readexactly(1)
    seconds = time.perf_counter() - began
    await reader.read()
    writer.close()
    return seconds * 1000


async def _whole(port: int, token: str) -> int:
    reader, writer = await _ask(port, token)
    size = len(await reader.read())
    writer.close()
    return size


async def _ask(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nhost: door\r\nconnection: close\r\n"
        + f"authorization: Bearer {token}\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
        + BODY
    )
    return reader, writer


def _long(call: Call) -> None:
    call.begin_stream()
    call.message_start()
    for _ in range(EVENTS):
        call.text("x" * 1000)
    call.end_stream()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="nc-bench-") as name:
        for figure in measure_vault(Path(name), 200):
            sys.stdout.write(f"{figure}\n")
