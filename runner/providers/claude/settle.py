"""Answers the tool calls that a kill or an abort left open (R-246).

Called by the engine after a conversation was opened and after an interrupt, before anything else
is appended. What our own tools have durably done is known, because they noted it in the same
transaction; of everything else the model is told that nobody knows.
"""

import asyncio

from runner.providers.base import EffectMemory
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.records import UserKind
from runner.providers.claude.repair import results_message


async def settle_open_calls(conversation: Conversation, effects: EffectMemory) -> int:
    """How many calls were answered; they are in the file when this returns."""
    calls = conversation.open_calls
    if not calls:
        return 0
    answers: dict[str, str] = {}
    for call in calls:
        text = await effects.recall(call.id)
        if text is not None:
            answers[call.id] = text
    message = results_message(calls, answers)
    await asyncio.to_thread(conversation.append_user, message, (), UserKind.TOOL_RESULTS)
    return len(calls)
