"""One request through an interception in a process of its own, for tests that kill it."""

import asyncio
import ssl
import sys
from pathlib import Path

from helpers.intercept_stage import Stage, on_stage


def main() -> None:
    folder = Path(sys.argv[1])
    received = folder / "received"

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        with received.open("ab") as file:
            file.write(head)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.transport.abort()

    async def play(stage: Stage) -> None:
        await stage.serve("api.test", note)
        stage.service()
        stage.secret()
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"CONNECT api.test:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        trusting = ssl.create_default_context(cafile=str(stage.ca))
        await writer.start_tls(trusting, server_hostname="api.test")
        writer.write(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    on_stage(folder, play)


if __name__ == "__main__":
    main()
