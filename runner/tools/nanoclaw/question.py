"""Asks a person to choose, and waits for the answer (R-168 to R-172).

The wait ends with an answer, with an ordinary message from the same chat, or with the time limit;
it never blocks the loop. What nobody waits for any more stays in ``open_questions``, so that a
late answer still reaches the agent together with its question.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from contract.address import AGENT_CHANNEL, Address
from contract.clock import utc_now
from contract.content import Option, QuestionCard, QuestionResponse, parse_inbound
from contract.ids import new_id
from contract.inbound.row import InboundRow, MessageKind
from runner.address_book import Placed, Unresolved
from runner.desk.desk import Desk
from runner.desk.errand import Errand, Letter
from runner.desk.questions import OpenQuestion
from runner.toolbox.base import ToolCall, ToolResult, ToolSpec, error_result, text_result
from runner.tools.nanoclaw.base import NanoclawTool, object_schema, string
from runner.tools.nanoclaw.given import BadArgumentError, Given

DEFAULT_SECONDS, MIN_SECONDS, MAX_SECONDS = 300, 10, 3600
OPTIONS = range(2, 11)
MAX_LABEL = 80
MAX_VALUE = 200
MAX_TITLE_BYTES = 1000
MAX_QUESTION_BYTES = 16 * 1024
POLL_SECONDS = 0.3


def question_tool(desk: Desk, *, elsewhere: bool, min_seconds: int = MIN_SECONDS) -> NanoclawTool:
    """``elsewhere``: this process is not the runner's."""
    asker = _Asker(desk, elsewhere, min_seconds)
    option = {
        "type": "object",
        "properties": {
            "label": string("What the button says, at most 80 characters."),
            "selectedLabel": string("What it says once it is chosen."),
            "value": string("What you get as the answer; default is the label."),
        },
        "required": ["label"],
    }
    schema = object_schema(
        {
            "title": string("A short title of the card."),
            "question": string("The question."),
            "options": {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, option]},
                "minItems": OPTIONS.start,
                "maxItems": OPTIONS.stop - 1,
                "description": "Two to ten different answers.",
            },
            "timeout": {
                "type": "number",
                "description": "How many seconds to wait, 10 to 3600; default 300.",
            },
        },
        ("title", "question", "options"),
    )
    return NanoclawTool(
        ToolSpec(
            "ask_user_question",
            "Ask the person you are talking to a multiple-choice question and wait for the "
            "answer. Everything else waits meanwhile, so ask only what you cannot go on without.",
            schema,
        ),
        asker.ask,
        asker.seconds,
    )


class _End(StrEnum):
    """Why a wait is over without an answer."""

    OVERTAKEN = "overtaken"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class _Wait:
    """What is waited for; ``above`` is the newest message number when the question was sent."""

    question_id: str
    chat: Address
    above: int
    seconds: float


class _Asker:
    def __init__(self, desk: Desk, elsewhere: bool, min_seconds: int) -> None:
        self._desk = desk
        self._elsewhere = elsewhere
        self._min_seconds = min_seconds

    def seconds(self, given: Given) -> float:
        return given.seconds("timeout", DEFAULT_SECONDS, self._min_seconds, MAX_SECONDS)

    async def ask(self, given: Given, call: ToolCall) -> ToolResult:
        title = given.text("title", MAX_TITLE_BYTES)
        question = given.text("question", MAX_QUESTION_BYTES)
        options = _options(given.items("options"))
        seconds = self.seconds(given)
        placed = await self._place()
        question_id = new_id("msg")
        card = QuestionCard(
            question_id=question_id, title=title, question=question, options=options,
            timeout=seconds,
        )  # fmt: skip
        opened = OpenQuestion(
            question_id, call.id, title, question,
            utc_now() + timedelta(seconds=seconds), self._elsewhere,
        )  # fmt: skip
        letter = Letter(question_id, card, MessageKind.CHAT_SDK, placed.address, placed.in_reply_to)
        with self._desk.awaiting(question_id):
            above = await self._desk.newest_number()
            await self._desk.write(Errand((letter,), lambda _: "", opens=opened), call.id)
            found = await self._wait(_Wait(question_id, placed.address, above, seconds), call)
            if isinstance(found, InboundRow):
                return await self._answered(question_id, found, call)
        if found is _End.OVERTAKEN:
            return text_result(
                "No option was chosen; the user wrote a message instead, see the next message."
            )
        return error_result(
            f"nobody answered within {seconds:.0f} seconds; an answer that comes later will "
            "arrive as a message"
        )

    async def _place(self) -> Placed:
        """The chat being answered; another agent cannot press buttons (R-169)."""
        found = await self._desk.resolve(None, await self._desk.batch())
        if isinstance(found, Unresolved):
            raise BadArgumentError(f"there is nobody to ask: {found.reason}")
        if found.placed.address.channel_type == AGENT_CHANNEL:
            raise BadArgumentError("an agent cannot be asked this way; use send_message")
        return found.placed

    async def _wait(self, wait: _Wait, call: ToolCall) -> InboundRow | _End:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.seconds
        while True:
            row = await self._desk.find_answer(wait.question_id)
            if row is not None:
                return row
            if await self._desk.find_chat_after(wait.chat, wait.above) is not None:
                return _End.OVERTAKEN
            left = deadline - loop.time()
            if left <= 0:
                return _End.TIMED_OUT
            call.activity()
            await asyncio.sleep(min(POLL_SECONDS, left))

    async def _answered(self, question_id: str, row: InboundRow, call: ToolCall) -> ToolResult:
        content = parse_inbound(row.kind, row.content)
        text = "(no option)"
        if isinstance(content, QuestionResponse):
            text = content.selected_option or text
            if content.user_id:
                text += f"\n(answered by {content.user_id})"
        errand = Errand((), lambda _: text, delivers=True, settles=(row.id,), closes=question_id)
        return text_result(await self._desk.write(errand, call.id))


def _options(items: tuple[object, ...]) -> tuple[Option, ...]:
    """In the stored form (H-132); raises BadArgumentError."""
    if len(items) not in OPTIONS:
        raise BadArgumentError("'options' must be an array of 2 to 10 answers")
    options = tuple(_option(item) for item in items)
    if len({option.value for option in options}) < len(options):
        raise BadArgumentError("'options' must have different values")
    return options


def _option(item: object) -> Option:
    fields = item if isinstance(item, Mapping) else {"label": item}
    label = _words(fields.get("label"), MAX_LABEL)
    selected, value = fields.get("selectedLabel"), fields.get("value")
    return Option(
        label=label,
        selected_label=label if selected is None else _words(selected, MAX_LABEL),
        value=label if value is None else _words(value, MAX_VALUE),
    )


def _words(value: object, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise BadArgumentError(
            "each of 'options' must be a text of at most 80 characters, or an object with such "
            "a 'label' (and perhaps 'selectedLabel' and 'value')"
        )
    return value
