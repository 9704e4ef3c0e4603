"""The outgoing messages of one chat: strictly first in, first out (C-35).

Plain data for the outbox. A job is one message with its recorded parts; a lane gives out the next
steps when no call for its chat is under way.
"""

from collections import deque
from dataclasses import dataclass, field

from nanoclaw.channels.part import Part
from nanoclaw.channels.sending import Step
from nanoclaw.events import Deliver
from nanoclaw.link import Peer

Chat = tuple[str, str | None]
"""Platform id and thread id."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A request that wants the outcome."""

    peer: Peer
    request_id: int


@dataclass(slots=True)
class Job:
    """One message on its way."""

    frame: Deliver
    parts: tuple[Part, ...]
    index: int
    """The next part to send."""
    doubtful: bool
    """That part was tried before, outcome unknown."""
    waiters: list[Waiter]
    cuts: int = 0
    under_way: int = 0
    """Parts handed to the pool and not reported yet."""

    @property
    def delivery_id(self) -> str:
        return self.frame.delivery_id


@dataclass(slots=True)
class Lane:
    """The jobs of one chat, oldest first."""

    chat: Chat
    jobs: deque[Job] = field(default_factory=deque)

    @property
    def busy(self) -> bool:
        return any(job.under_way for job in self.jobs)

    def next_steps(self, most: int) -> list[Step]:
        """The parts to send now, marked as under way; ``most`` is 1 unless batches are safe."""
        steps: list[Step] = []
        for job in self.jobs:
            for index in range(job.index, len(job.parts)):
                if len(steps) == most:
                    return steps
                steps.append(
                    Step(
                        job.delivery_id,
                        index,
                        job.parts[index],
                        self.chat[0],
                        self.chat[1],
                        doubtful=job.doubtful and index == job.index,
                        uncertain_policy=job.frame.uncertain_policy,
                    )
                )
                job.under_way += 1
        return steps
