"""Calls the adapter for a run of parts of one chat, in order; runs on a thread of the pool.

Given by the outbox what is planned and durable. Stops at the first failure that a later part must
not overtake. A part that may have been sent before is resolved first: by its key, by asking the
platform, or by the channel's policy (C-32).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from contract.killpoint import reached
from nanoclaw.capabilities import Capabilities, IdempotentSend, UncertainPolicy
from nanoclaw.channels.adapter import (
    Channel,
    Edits,
    FindsSent,
    NotSent,
    Reacts,
    SendsBatches,
    Sent,
    WantsReceipts,
)
from nanoclaw.channels.failure import ChannelFailure, Guard
from nanoclaw.channels.part import Operation, Part
from nanoclaw.events import FailureClass

PASSED_BY = (FailureClass.PERMANENT, FailureClass.UNCERTAIN)
"""Ends of a message that later ones of its chat need not wait for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part that is to be sent now."""

    delivery_id: str
    index: int
    part: Part
    platform_id: str
    thread_id: str | None
    doubtful: bool = False
    """It was tried before, and nobody knows whether it arrived."""
    uncertain_policy: UncertainPolicy | None = None
    """Instead of the channel's own."""


@dataclass(frozen=True, slots=True)
class StepSent:
    step: Step
    message_id: str | None


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: Step
    failure: ChannelFailure


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """Not tried, because an earlier part of the run failed."""

    step: Step


StepResult = StepSent | StepFailed | StepSkipped
Report = Callable[[Sequence[StepResult]], None]
"""Takes results in order; after a failure those of all later steps come along with it."""

log = logging.getLogger(__name__)


class Sending:
    """The adapter as the pool sees it."""

    def __init__(self, adapter: Channel, guard: Guard) -> None:
        self._adapter = adapter
        self._guard = guard

    def run(self, steps: Sequence[Step], report: Report) -> None:
        """Reports every step exactly once; all steps go to the same chat."""
        reached("worker.send_tried")
        adapter = self._adapter
        plain = all(step.part.operation is Operation.SEND for step in steps)
        if isinstance(adapter, SendsBatches) and plain:
            self._run_batch(adapter, steps, report)
            return
        for position, step in enumerate(steps):
            try:
                message_id = self._guard(partial(self._send, step), FailureClass.UNCERTAIN)
            except ChannelFailure as failure:
                later = [StepSkipped(step) for step in steps[position + 1 :]]
                report([StepFailed(step, failure), *later])
                return
            report([StepSent(step, message_id)])

    def recorded(self, keys: Sequence[str]) -> None:
        """Tells an adapter that wants to know which parts will never be sent again."""
        adapter = self._adapter
        if isinstance(adapter, WantsReceipts):
            try:
                self._guard(lambda: adapter.recorded(keys), FailureClass.TRANSIENT)
            except ChannelFailure as failure:
                log.warning("receipt not taken", extra={"reason": str(failure)})

    def _run_batch(self, adapter: SendsBatches, steps: Sequence[Step], report: Report) -> None:
        parts = [step.part for step in steps]
        chat = steps[0]
        try:
            ids = self._guard(
                lambda: adapter.deliver_batch(chat.platform_id, chat.thread_id, parts),
                FailureClass.UNCERTAIN,
            )
        except ChannelFailure as failure:
            # Which of them arrived is not known, and their keys make it harmless to repeat all.
            report([StepFailed(chat, failure), *(StepSkipped(step) for step in steps[1:])])
            return
        reached("worker.send_called")
        report([StepSent(step, message_id) for step, message_id in zip(steps, ids, strict=True)])

    def _send(self, step: Step) -> str | None:
        if step.doubtful:
            found = self._find(step)
            if found is not None:
                return found.message_id
        message_id = self._call(step)
        reached("worker.send_called")
        return message_id

    def _find(self, step: Step) -> Sent | None:
        """None: send it (again). Raises ChannelFailure if the policy is to hold it."""
        capabilities = self._adapter.capabilities
        if capabilities.idempotent_send is IdempotentSend.KEY:
            return None
        adapter = self._adapter
        if isinstance(adapter, FindsSent):
            answer = adapter.find_sent(step.platform_id, step.thread_id, step.part)
            if isinstance(answer, Sent):
                return answer
            if isinstance(answer, NotSent):
                return None
        if holds_uncertain(capabilities, step.uncertain_policy):
            raise ChannelFailure(FailureClass.UNCERTAIN, "nobody knows whether the message arrived")
        return None

    def _call(self, step: Step) -> str | None:
        adapter, part = self._adapter, step.part
        if part.operation is Operation.EDIT and isinstance(adapter, Edits):
            adapter.edit(step.platform_id, part.target_id or "", part)
            return part.target_id
        if part.operation is Operation.REACT and isinstance(adapter, Reacts):
            adapter.react(step.platform_id, part.target_id or "", part.emoji or "")
            return None
        return adapter.deliver(step.platform_id, step.thread_id, part)


def holds_uncertain(capabilities: Capabilities, policy: UncertainPolicy | None) -> bool:
    """Whether a message of unknown fate is shown to the owner instead of being repeated.

    ``policy`` is what the chat's wiring says; None: the channel decides (P-7).
    """
    return (
        capabilities.idempotent_send is not IdempotentSend.KEY
        and (policy or capabilities.uncertain_policy) is UncertainPolicy.HOLD
    )
