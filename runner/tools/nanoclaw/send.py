"""Tools that say something: send_message, send_file, send_card (R-157 to R-160, R-173)."""

import asyncio
import os
from pathlib import Path

from contract.content import Card, CardOut, ChatOut, dump
from contract.errors import BadContent
from contract.ids import new_id
from contract.inbound.row import MessageKind
from contract.shape import Shape
from runner.address_book import Resolved, Unresolved
from runner.desk import outbox
from runner.desk.desk import Desk
from runner.desk.errand import Errand, Letter
from runner.toolbox.base import ToolCall, ToolResult, ToolSpec, error_result, text_result
from runner.tools.nanoclaw.base import NanoclawTool, object_schema, string
from runner.tools.nanoclaw.given import BadArgumentError, Given

MAX_CARD_BYTES = 64 * 1024

_TO = string(
    "Name of the destination, as listed in your instructions. Leave it out to write to the "
    "current conversation."
)


def send_tools(desk: Desk) -> tuple[NanoclawTool, ...]:
    """In their fixed order; ``send_card`` is offered with the interactive ones."""
    sender = _Sender(desk)
    return (
        NanoclawTool(
            ToolSpec(
                "send_message",
                "Send a text to a destination at once, for example while longer work goes on. "
                "The result gives the message's number, by which it can be edited later.",
                object_schema({"text": string("The message."), "to": _TO}, ("text",)),
            ),
            sender.send_message,
        ),
        NanoclawTool(
            ToolSpec(
                "send_file",
                "Send a file to a destination, with an optional text. At most 100 MiB.",
                object_schema(
                    {
                        "path": string("The file: absolute, or relative to /workspace/agent."),
                        "to": _TO,
                        "text": string("A text that goes with the file."),
                        "filename": string("The name that is shown; default is the file's own."),
                    },
                    ("path",),
                ),
            ),
            sender.send_file,
        ),
    )


def card_tool(desk: Desk) -> NanoclawTool:
    return NanoclawTool(
        ToolSpec(
            "send_card",
            "Send a structured card (title, description, children, actions with label and url). "
            "It shows something and does not wait; use ask_user_question for a choice.",
            object_schema(
                {
                    "card": {
                        "type": "object",
                        "description": "title, description, children and actions, as far as the "
                        "channel supports them.",
                    },
                    "fallbackText": string("What channels without cards show instead."),
                    "to": _TO,
                },
                ("card",),
            ),
        ),
        _Sender(desk).send_card,
    )


class _Sender:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send_message(self, given: Given, call: ToolCall) -> ToolResult:
        content = ChatOut(text=given.text("text"))
        target = await self._target(given)
        if isinstance(target, Unresolved):
            return error_result(target.reason)
        letter = _letter(new_id("msg"), content, target)
        return await self._send(letter, "Message", target, call)

    async def send_file(self, given: Given, call: ToolCall) -> ToolResult:
        source = self._source(given.text("path", 4096))
        name = given.optional_text("filename", 4096)
        name = os.path.basename(name or source.name)  # noqa: PTH119 Path drops a last slash
        problem = outbox.name_problem(name)
        if problem is not None:
            return error_result(problem)
        content = ChatOut(text=given.optional_text("text") or "", files=(name,))
        target = await self._target(given)
        if isinstance(target, Unresolved):
            return error_result(target.reason)
        letter = _letter(new_id("msg"), content, target)
        folder = self._desk.paths.out_files / letter.id
        try:
            await _copy(source, folder, name)
        except outbox.OutboxError as error:
            return error_result(str(error))
        try:
            return await self._send(letter, f"File {name}", target, call)
        except Exception:
            outbox.remove(folder)
            raise

    async def send_card(self, given: Given, call: ToolCall) -> ToolResult:
        card = given.mapping("card")
        if not card:
            raise BadArgumentError("'card' is required and must be an object with a title or more")
        content = CardOut(
            card=Card.read(card), fallback_text=given.optional_text("fallbackText") or ""
        )
        if len(dump(content).encode()) > MAX_CARD_BYTES:
            raise BadContent(f"the card is over {MAX_CARD_BYTES} bytes")
        target = await self._target(given)
        if isinstance(target, Unresolved):
            return error_result(target.reason)
        letter = _letter(new_id("msg"), content, target, MessageKind.CHAT_SDK)
        return await self._send(letter, "Card", target, call)

    async def _target(self, given: Given) -> Resolved | Unresolved:
        to = given.optional_text("to", 1024)
        return await self._desk.resolve(to, await self._desk.batch())

    async def _send(
        self, letter: Letter, what: str, target: Resolved, call: ToolCall
    ) -> ToolResult:
        errand = Errand(
            (letter,),
            lambda numbers: f"{what} sent to {target.shown} (id: {numbers[0]}).",
            delivers=True,
        )
        return text_result(await self._desk.write(errand, call.id))

    def _source(self, path: str) -> Path:
        """Relative paths count from the group folder; links are followed by opening."""
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise BadArgumentError("'path' is not valid text") from error
        if "\0" in path:
            raise BadArgumentError("'path' contains a NUL character")
        return self._desk.paths.workspace / path


def _letter(
    message_id: str, content: Shape, target: Resolved, kind: MessageKind = MessageKind.CHAT
) -> Letter:
    return Letter(message_id, content, kind, target.placed.address, target.placed.in_reply_to)


async def _copy(source: Path, folder: Path, name: str) -> None:
    """In a thread. A cancelled call leaves nothing behind once the thread is through."""
    job = asyncio.ensure_future(asyncio.to_thread(outbox.copy_in, source, folder, name))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        job.add_done_callback(lambda done: _discard(done, folder))
        raise


def _discard(done: "asyncio.Future[None]", folder: Path) -> None:
    if not done.cancelled():
        done.exception()  # looked at, so that nobody complains that it was not
    outbox.remove(folder)
