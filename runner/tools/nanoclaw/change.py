"""Tools that refer to an earlier message by its number: edit_message, add_reaction (R-161)."""

import asyncio

from contract.content import EditOut, ReactionOut
from contract.ids import new_id
from contract.inbound.row import DeliveredStatus
from contract.shape import Shape
from runner.desk.desk import Desk, Referred
from runner.desk.errand import Errand, Letter
from runner.toolbox.base import ToolCall, ToolResult, ToolSpec, error_result, text_result
from runner.tools.nanoclaw.base import NanoclawTool, object_schema, string
from runner.tools.nanoclaw.given import BadArgumentError, Given

DELIVERY_SECONDS = 5.0
"""How long an edit waits for the message it refers to (R-162)."""
_LOOK_EVERY_SECONDS = 0.2
_MAX_EMOJI_BYTES = 128

_NUMBER = {"type": "integer", "description": "The message's number, shown as its id."}


def change_tools(
    desk: Desk, delivery_seconds: float = DELIVERY_SECONDS
) -> tuple[NanoclawTool, ...]:
    changer = _Changer(desk, delivery_seconds)
    return (
        NanoclawTool(
            ToolSpec(
                "edit_message",
                "Replace the text of a message that you sent earlier.",
                object_schema(
                    {"messageId": _NUMBER, "text": string("The new text.")},
                    ("messageId", "text"),
                ),
            ),
            changer.edit_message,
        ),
        NanoclawTool(
            ToolSpec(
                "add_reaction",
                "React to a message with an emoji.",
                object_schema(
                    {
                        "messageId": _NUMBER,
                        "emoji": string("Its name, such as thumbs_up, heart or check."),
                    },
                    ("messageId", "emoji"),
                ),
            ),
            changer.add_reaction,
        ),
    )


class _Changer:
    def __init__(self, desk: Desk, delivery_seconds: float) -> None:
        self._desk = desk
        self._delivery_seconds = delivery_seconds

    async def edit_message(self, given: Given, call: ToolCall) -> ToolResult:
        number, text = given.number("messageId"), given.text("text")
        message = await self._find(number)
        if not message.own:
            return error_result(f"#{number} is not your message; only your own can be edited")
        known_as = await self._known_as(message, number, call)
        return await self._queue(
            EditOut(message_id=known_as, text=text), message, f"Edit queued for #{number}.", call
        )

    async def add_reaction(self, given: Given, call: ToolCall) -> ToolResult:
        number, emoji = given.number("messageId"), given.text("emoji", _MAX_EMOJI_BYTES).strip()
        message = await self._find(number)
        known_as = await self._known_as(message, number, call)
        return await self._queue(
            ReactionOut(message_id=known_as, emoji=emoji),
            message,
            f"Reaction queued for #{number}.",
            call,
        )

    async def _find(self, number: int) -> Referred:
        message = await self._desk.find_message(number)
        if message is None:
            raise BadArgumentError(
                f"there is no message #{number}; use the id that it was shown with"
            )
        if message.address.channel_type is None or message.address.platform_id is None:
            raise BadArgumentError(f"#{number} was not sent in a chat, so it cannot be changed")
        return message

    async def _known_as(self, message: Referred, number: int, call: ToolCall) -> str:
        """The platform's id; that of our own message exists only when it was delivered."""
        if not message.own:
            return message.id
        deadline = asyncio.get_running_loop().time() + self._delivery_seconds
        while (mark := await self._desk.find_delivered(message.row_id)) is None:
            if asyncio.get_running_loop().time() >= deadline:
                raise BadArgumentError(f"#{number} is not delivered yet; try again in a moment")
            call.activity()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        if mark.status is DeliveredStatus.FAILED:
            raise BadArgumentError(f"#{number} could not be delivered, so nobody can see it")
        return mark.platform_message_id or message.id

    async def _queue(
        self, content: Shape, message: Referred, text: str, call: ToolCall
    ) -> ToolResult:
        letter = Letter(new_id("msg"), content, address=message.address)
        return text_result(await self._desk.write(Errand((letter,), lambda _: text), call.id))
