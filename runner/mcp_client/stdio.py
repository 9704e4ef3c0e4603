"""A server that is a child process: bounded in what it may say, and ended with all its children.

Stands in for the stdio transport of the mcp package, which reads lines of any length and passes a
handful of variables only. Called by ``connection``. A line is at most ``MAX_MESSAGE_BYTES`` long;
the process leads a group of its own, and whatever it starts is gone when ``__aexit__`` returns.
"""

import asyncio
import json
import logging
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from contract.config import McpServer
from contract.ids import new_id
from runner.mcp_client.guard import FloodError, Guard, Streams, guarded
from runner.mcp_client.listing import clean
from runner.mcp_client.orphans import VARIABLE, kill_marked
from runner.mcp_client.stderr import ErrorOutput

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
WRITE_SECONDS = 20.0
"""A server that does not read its input for so long is given up."""

GRACE_SECONDS = 0.7
"""For each of: closed input, SIGTERM, SIGKILL; all servers end side by side within close()."""

MAX_DEPTH = 100
_ID = re.compile(r'"id"\s*:\s*(\d{1,15})\b')
_EDGE = 300
_CHUNK = 64 * 1024
_LOOK_EVERY_SECONDS = 0.01
_WATCH_SECONDS = 0.3


class TooLargeError(ConnectionError):
    """One message of the server is longer than we read."""


class StdioTransport:
    """An async context manager as the package's ``Client`` wants it.

    ``lost`` is called once with the reason when the server ends or is cut off.
    """

    def __init__(
        self,
        server: McpServer,
        environment: Mapping[str, str],
        cwd: Path,
        lost: Callable[[str], None],
        logger: logging.Logger,
    ) -> None:
        self._server = server
        self._mark = new_id("mcp")
        self._environment = {**environment, **server.env, VARIABLE: self._mark}
        self._cwd = cwd
        self._lost = lost
        self._errors = ErrorOutput(logger)
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.guard = Guard()
        self.unreachable = False

    @property
    def hint(self) -> str:
        """The last line of its error output."""
        return self._errors.last_words

    def has_died(self) -> bool:
        """Known at once, before the event loop hears of it: a call would go into the void."""
        if self._process is None or self._process.returncode is not None:
            return True
        try:
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return ended is not None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Streams:
        """Raises OSError or ValueError when the program cannot be started."""
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            self._server.command or "",
            *self._server.args,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=self._environment,
            cwd=self._cwd,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        to_session, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        reading = asyncio.create_task(self._read(process.stdout, to_session))
        self._tasks = [
            reading,
            asyncio.create_task(self._watch(process, reading)),
            asyncio.create_task(self._errors.read(process.stderr)),
        ]
        writer = _Writer(process.stdin, self._lost)
        return guarded((from_server, writer), self.guard, self._lost)

    async def _read(
        self,
        stdout: asyncio.StreamReader,
        to_session: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        async with to_session:
            try:
                await self._pass_lines(stdout, to_session)
                reason = await self._why_ended()
            except (FloodError, TooLargeError) as error:
                reason = str(error)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                reason = "the connection was closed"
            # Before the session sees the end, so that whoever waits for an answer learns why.
            self._lost(reason)

    async def _pass_lines(
        self,
        stdout: asyncio.StreamReader,
        to_session: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        pending = bytearray()
        while chunk := await stdout.read(_CHUNK):
            self.guard.heard(len(chunk))
            searched = len(pending)
            pending += chunk
            while (end := pending.find(b"\n", searched)) >= 0:
                line = bytes(pending[:end])
                del pending[: end + 1]
                searched = 0
                message = parse_line(line)
                if message is not None:
                    await to_session.send(message)
                elif line.strip():
                    self.guard.garbage()
            if len(pending) > MAX_MESSAGE_BYTES:
                raise TooLargeError(
                    f"one of its messages is longer than {MAX_MESSAGE_BYTES // 2**20} MB"
                )

    async def _watch(
        self, process: asyncio.subprocess.Process, reading: asyncio.Task[None]
    ) -> None:
        """A dead server's children may hold its output open, so that no end would be read."""
        while process.returncode is None:
            await asyncio.sleep(_WATCH_SECONDS)
        await asyncio.wait({reading}, timeout=GRACE_SECONDS)
        if not reading.done():
            reading.cancel()
            self._lost(await self._why_ended())

    async def _why_ended(self) -> str:
        """In words, when its output has ended by itself."""
        process = self._process
        if process is None or not await self._exited(process):
            return "it closed its output"
        code = process.returncode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        last = self._errors.last_words
        return f"its program {how}" + (f" ({last})" if last else "")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.close()
            if not await self._exited(process):
                self._signal(signal.SIGTERM)
                await self._exited(process)
        finally:
            # Also when the wait was cancelled: the process must not stay.
            self.kill()
            with suppress(asyncio.CancelledError):
                await self._exited(process)
            await self._end_tasks(process)

    def kill(self) -> None:
        """At once, without waiting: the group, and what has left it."""
        self._signal(signal.SIGKILL)
        kill_marked(self._mark)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def _exited(self, process: asyncio.subprocess.Process) -> bool:
        """Not ``process.wait()``, which also waits for children that hold the pipes open."""
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        while process.returncode is None:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return True

    async def _end_tasks(self, process: asyncio.subprocess.Process) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Nothing public closes pipes that a surviving stranger holds open at the other end.
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()


class _Writer:
    """The session's write stream into a child's standard input."""

    def __init__(self, stdin: asyncio.StreamWriter, lost: Callable[[str], None]) -> None:
        self._stdin = stdin
        self._lost = lost

    async def send(self, item: SessionMessage, /) -> None:
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            if self._stdin.transport.get_write_buffer_size() > MAX_MESSAGE_BYTES:
                raise TimeoutError
            self._stdin.write(text.encode("utf-8", "replace") + b"\n")
            async with asyncio.timeout(WRITE_SECONDS):
                await self._stdin.drain()
        except TimeoutError:
            self._lost("it does not read its input any more")
            raise anyio.BrokenResourceError from None
        except (OSError, RuntimeError) as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """The input is closed when the process is ended."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def parse_line(line: bytes) -> SessionMessage | None:
    """The message in a line, or None. What a strict reader refuses is read leniently; an answer
    that cannot be read at all becomes an error, so that nobody waits for it until the limit."""
    text = line.decode("utf-8", "replace")
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(text, by_name=False))
    except ValueError:
        if not text.lstrip().startswith("{"):
            return None
    return _parse_leniently(text) or _unreadable_answer(text)


def _parse_leniently(text: str) -> SessionMessage | None:
    """JavaScript escapes half characters, and some schemas are nested without end."""
    try:
        value = shallow(json.loads(text))
        value = json.loads(clean(json.dumps(value, ensure_ascii=False)))
        return SessionMessage(types.jsonrpc_message_adapter.validate_python(value, by_name=False))
    except (ValueError, RecursionError):
        return None


def shallow(value: object, depth: int = MAX_DEPTH) -> object:
    """A copy in which everything that is nested deeper is left out."""
    if isinstance(value, dict):
        return {key: shallow(item, depth - 1) for key, item in value.items()} if depth else {}
    if isinstance(value, list):
        return [shallow(item, depth - 1) for item in value] if depth else []
    return value


def _unreadable_answer(text: str) -> SessionMessage | None:
    found = _ID.search(text[:_EDGE]) or _ID.search(text[-_EDGE:])
    if found is None:
        return None
    error = types.ErrorData(code=types.PARSE_ERROR, message="its answer cannot be read")
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=error))
