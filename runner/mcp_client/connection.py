"""One connection to one server, from its start to its end.

Called by ``server``. A task of its own enters and leaves the package's client, because its cancel
scopes may not change tasks. Every wait has a limit; whatever breaks the connection is remembered in
``reason``, and ``close`` returns within ``CLOSE_SECONDS`` with no process left.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import mcp_types as types
from mcp.client import Client, IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from contract.config import McpServer
from runner.mcp_client.failure import (
    LostError,
    RefusedError,
    SlowError,
    UnavailableError,
    in_words,
)
from runner.mcp_client.http import HttpTransport
from runner.mcp_client.listing import MAX_TOOLS, ServerTool, read_tool
from runner.mcp_client.stdio import StdioTransport
from runner.mcp_client.surroundings import Surroundings

START_SECONDS = 30.0
CLOSE_SECONDS = 3.0
LISTING_SECONDS = 30.0
PROOF_SECONDS = 5.0
"""How long a server that let a call pass its limit may take to show that it lives."""

RELIST_SECONDS = 2.0
"""Between hearing that the tools have changed and asking for them: changes come in bursts."""

MAX_PAGES = 20

_SESSION_GONE = "Session terminated"
_UNTOLD_STATUS = "Server returned an error response"
"""Texts of the package's HTTP transport, which has no other mark for these cases."""

_FORGETFUL = ("HTTP 400", "HTTP 404", "HTTP 410")
"""The request was refused before it was carried out, perhaps because a session is unknown."""

_Answer = types.CallToolResult | types.InputRequiredResult
_ANSWER: TypeAdapter[_Answer] = TypeAdapter(_Answer)
_CLIENT = types.Implementation(name="nanoclaw", version="1")
_Cursor = types.PaginatedRequestParams


class Connection:
    """Used from one event loop; ``open`` once, then calls, then ``close``."""

    def __init__(self, server: McpServer, around: Surroundings) -> None:
        self._around = around
        self._transport = (
            HttpTransport(server, around.environment, self._lose)
            if server.url
            else StdioTransport(server, around.environment, around.cwd, self._lose, around.logger)
        )
        self._client: Client | None = None
        self._owner: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self.reason = ""
        self.tools: tuple[ServerTool, ...] = ()
        self.left_out = 0

    @property
    def is_alive(self) -> bool:
        return self._ready.is_set() and not self._ended.is_set()

    @property
    def pid(self) -> int | None:
        """Of the server's process; None for one with an address."""
        return self._transport.pid if isinstance(self._transport, StdioTransport) else None

    async def open(self) -> None:
        """Raises UnavailableError; nothing is left of the server then."""
        self._owner = asyncio.create_task(self._own())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait(
                {self._owner, ready},
                timeout=START_SECONDS + 1,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
            if not self.is_alive:
                await self.close()
        if not self.is_alive:
            raise UnavailableError(self.reason or "it did not answer in time")

    async def ended(self) -> str:
        """Waits until the connection is of no use any more; the reason."""
        await self._ended.wait()
        return self.reason

    async def close(self) -> None:
        """Within CLOSE_SECONDS; repeatable, also when ``open`` failed."""
        self._lose("it was closed")
        owner = self._owner
        if owner is None or owner is asyncio.current_task():
            return
        try:
            await asyncio.wait({owner}, timeout=CLOSE_SECONDS)
        finally:
            self._transport.kill()
            if not owner.done():
                owner.cancel()
                await asyncio.wait({owner}, timeout=1)

    def _lose(self, reason: str) -> None:
        if not self._ended.is_set():
            self.reason = reason
            self._ended.set()

    async def _own(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS) as limit:
                client = Client(
                    self._transport,
                    mode=self._around.mode,
                    cache=None,
                    client_info=_CLIENT,
                    message_handler=self._on_message,
                )
                async with client:
                    self._client = client
                    self.tools = await self._list(client)
                    limit.reschedule(None)
                    self._ready.set()
                    await self._until_ended(client)
        except asyncio.CancelledError:
            self._lose("it was stopped")
            raise
        except Exception as error:  # noqa: BLE001 a server can make the package raise anything
            self._lose(self._explained(error))
        finally:
            self._lose("it was closed")

    async def _until_ended(self, client: Client) -> None:
        helpers = [
            asyncio.create_task(self._follow_changes(client)),
            asyncio.create_task(self._listen(client)),
        ]
        try:
            await self._ended.wait()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _explained(self, error: BaseException) -> str:
        """With what the transport knows besides: a status, or the last line of error output."""
        if self.reason:
            return self.reason
        text = in_words(error)
        hint = self._transport.hint
        return f"{text} ({hint})" if hint and hint not in text else text

    async def _list(self, client: Client) -> tuple[ServerTool, ...]:
        """All pages, within the limits; a server without tools has none."""
        found: dict[str, ServerTool] = {}
        cursor: str | None = None
        self._transport.guard.begin_listing()
        for _ in range(MAX_PAGES):
            try:
                page = await client.session.list_tools(params=_Cursor(cursor=cursor))
            except MCPError as error:
                if error.error.code == types.METHOD_NOT_FOUND and not found:
                    return ()
                raise
            for tool in page.tools:
                item = read_tool(tool.model_dump(by_alias=True, mode="json", exclude_none=True))
                found.setdefault(item.name, item)
            cursor = page.next_cursor
            if cursor is None or len(found) >= MAX_TOOLS:
                break
        self.left_out = self._transport.guard.tools_left_out
        return tuple(found.values())

    async def _on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._changed.set()

    async def _listen(self, client: Client) -> None:
        """Servers of the protocol of 2026 tell of changes only to those who listen."""
        with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, ValidationError):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._changed.set()

    async def _follow_changes(self, client: Client) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(RELIST_SECONDS)
            self._changed.clear()
            try:
                async with asyncio.timeout(LISTING_SECONDS):
                    tools = await self._list(client)
            except (MCPError, ValidationError, TimeoutError) as error:
                self._around.logger.warning(
                    "its new list of tools is unusable: %s", in_words(error)
                )
                continue
            self.tools = tools

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, object],
        seconds: float,
        activity: Callable[[], None],
    ) -> types.CallToolResult:
        """Raises LostError, SlowError or RefusedError."""
        client = self._client
        if client is None or not self.is_alive:
            raise LostError(self.reason or "it is not connected", delivered=False)
        if self._transport.has_died():
            self._lose("its program has ended")
            raise LostError(self.reason, delivered=False)

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            activity()

        try:
            async with asyncio.timeout(seconds):
                # Not session.call_tool: it checks the answer against the server's own schema, whose
                # regular expressions could run for ever.
                answer = await client.session.send_request(
                    types.CallToolRequest(
                        params=types.CallToolRequestParams(name=tool, arguments=dict(arguments))
                    ),
                    _ANSWER,
                    progress_callback=on_progress,
                )
        except TimeoutError:
            raise SlowError(f"did not finish within {seconds:g} s") from None
        except MCPError as error:
            raise self._told_apart(error) from error
        except ValidationError as error:
            raise RefusedError(in_words(error)) from error
        if isinstance(answer, types.InputRequiredResult):
            raise RefusedError("the server asks for input that this agent cannot give")
        return answer

    def _told_apart(self, error: MCPError) -> LostError | RefusedError:
        text = in_words(error)
        if text == _SESSION_GONE:
            self._lose("the server has forgotten this session")
            return LostError(self.reason, delivered=False)
        if error.error.code == types.CONNECTION_CLOSED:
            self._lose(text)
            return LostError(self.reason, delivered=not self._transport.unreachable)
        if text == _UNTOLD_STATUS and self._transport.hint.startswith(_FORGETFUL):
            # Many servers answer so, instead of with the 404 of the protocol, after a restart.
            self._lose(f"the server refused the request ({self._transport.hint})")
            return LostError(self.reason, delivered=False)
        if text == _UNTOLD_STATUS:
            return RefusedError(self._explained(error))
        return RefusedError(text)

    async def prove_alive(self) -> None:
        """Asks something easy; a server that does not answer that either is given up."""
        client = self._client
        if client is None or not self.is_alive:
            return
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                self._transport.guard.begin_listing()
                await client.session.list_tools()
        except (TimeoutError, MCPError, ValidationError):
            self._lose("it does not answer any more")
