"""The commands of the provider: /compact, /context, /cost, /files (R-310).

Called by ``provider`` with the conversation that is open just now, or one opened for the purpose.
The texts are made by ``report``; nothing of this enters the conversation, except that a compaction
changes it.
"""

import asyncio
import logging

from runner.log import fields
from runner.providers.base import CommandOutcome
from runner.providers.claude.capabilities import choose_max_tokens
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.errors import CallClass, CallError
from runner.providers.claude.estimate import (
    compaction_threshold,
    estimate_json,
    estimate_messages,
)
from runner.providers.claude.mainline import Mainline
from runner.providers.claude.records import Json
from runner.providers.claude.report import (
    ContextFacts,
    CostFacts,
    files_in,
    render_context,
    render_cost,
    render_files,
)
from runner.providers.claude.stream import WINDOW_VARIABLE, Opened, Shared
from runner.providers.claude.webtools import feature_of

_log = logging.getLogger(__name__)

COMPACT, CONTEXT, COST, FILES = "/compact", "/context", "/cost", "/files"
COMMANDS = frozenset({COMPACT, CONTEXT, COST, FILES})
NO_CONVERSATION = "There is no conversation yet."
COUNT_SECONDS = 8.0
_PROBE: Json = {"role": "user", "content": "x"}
"""The API counts nothing without a message."""


async def compact(shared: Shared, opened: Opened, wish: str) -> CommandOutcome:
    """Raises ProviderError when the model cannot be asked."""
    conversation = opened.conversation
    shared.ledger.begin_turn(conversation.id)
    await shared.ledger.prepare()
    await opened.mainline.prepare()
    await opened.window.finish_interrupted()
    done = await opened.window.carry_out(wish)
    if done is None:
        return CommandOutcome("There is nothing to compact yet.")
    if done.lost:
        text = "The conversation could not be summarised, so it was begun anew"
    else:
        text = "The conversation was compacted"
    archived = f" The whole of it is kept in conversations/{done.archive}." if done.archive else ""
    return CommandOutcome(
        f"{text}: about {done.pre_tokens:,} tokens before, {done.post_tokens:,} now.{archived}"
    )


async def context(shared: Shared, opened: Opened) -> CommandOutcome:
    conversation, mainline = opened.conversation, opened.mainline
    epoch = conversation.epoch
    if epoch is None:
        return CommandOutcome(NO_CONVERSATION)
    choice = await shared.catalog.choose(epoch.prefix.model)
    counted = await _count(shared, mainline)
    prefix = epoch.prefix
    system, tools, messages = counted or (
        estimate_json(list(prefix.system)),
        estimate_json(list(prefix.tools)),
        estimate_messages(conversation.messages),
    )
    facts = ContextFacts(
        model=prefix.model,
        window=choice.capabilities.context_tokens,
        threshold=compaction_threshold(
            choice.capabilities,
            choose_max_tokens(choice.capabilities, prefix.effort),
            shared.options.environment.get(WINDOW_VARIABLE),
        ),
        system=system,
        tools=tools,
        messages=messages,
        exact=counted is not None,
        message_count=len(conversation.messages),
    )
    return CommandOutcome(render_context(facts))


async def cost(shared: Shared, continuation: str) -> CommandOutcome:
    ledger = shared.ledger
    facts = CostFacts(
        conversation=await ledger.total_since(None, continuation),
        today=await ledger.total_since(ledger.today),
        per_day=ledger.per_day,
        date=ledger.prices.date,
    )
    return CommandOutcome(render_cost(facts))


def files(conversation: Conversation) -> CommandOutcome:
    return CommandOutcome(render_files(files_in(conversation.all_messages())))


async def _count(shared: Shared, mainline: Mainline) -> tuple[int, int, int] | None:
    """Exact tokens of system, tools and messages; None where the endpoint cannot count."""
    conversation = mainline.conversation
    prefix = mainline.epoch.prefix
    system, model = list(prefix.system), prefix.model
    tools = [tool for tool in prefix.tools if feature_of(tool) is None]
    if conversation.open_calls or any(m.get("role") == "system" for m in conversation.messages):
        return None
    bodies: list[Json] = [
        {"model": model, "messages": [_PROBE]},
        {"model": model, "messages": [_PROBE], "system": system},
        {"model": model, "messages": [_PROBE], "tools": tools},
        {"model": model, "messages": conversation.messages},
    ]
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            counts = await asyncio.gather(*(_tokens(shared, body) for body in bodies))
    except (CallError, TimeoutError) as error:
        _log.info("tokens cannot be counted", extra=fields(reason=error))
        return None
    probe, with_system, with_tools, messages = counts
    return max(with_system - probe, 0), max(with_tools - probe, 0), messages


async def _tokens(shared: Shared, body: Json) -> int:
    answer = await shared.client.post("/v1/messages/count_tokens", body)
    tokens = answer.get("input_tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, int):
        raise CallError(CallClass.REQUEST, "the endpoint gave no number of tokens")
    return tokens
