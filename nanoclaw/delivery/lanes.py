"""The order of outgoing messages: one lane per chat and thread, first in, first out.

Used by ``delivery.loop``. Holds a bounded window of each lane's open receipts in memory and
fetches more from the central database as it empties. A message that waits for its next attempt
holds back the later ones of its lane and nothing else (W-18, W-47).
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from nanoclaw.model import Delivery, FilesState

WINDOW = 64
"""Receipts of one lane held in memory; also the most that one group commit covers."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Where a message goes."""

    instance: str
    platform_id: str
    thread_id: str | None


def key_of(delivery: Delivery) -> LaneKey:
    return LaneKey(delivery.instance, delivery.platform_id, delivery.thread_id)


@dataclass(slots=True)
class Lane:
    key: LaneKey
    waiting: deque[Delivery] = field(default_factory=deque)
    in_flight: dict[str, Delivery] = field(default_factory=dict)
    more_stored: bool = False

    def due_at(self) -> datetime | None:
        """When the head may be tried; None when there is none, or its files are being copied."""
        if not self.waiting or self.waiting[0].files_state is FilesState.WANTED:
            return None
        return self.waiting[0].next_attempt_at


Fetch = Callable[[LaneKey, int, int], list[Delivery]]
"""(lane, after this row number, limit) -> open receipts in order."""


class Lanes:
    """All lanes that have something open."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lanes: dict[LaneKey, Lane] = {}

    def add(self, delivery: Delivery) -> None:
        """A receipt that was just stored behind everything else of its lane."""
        lane = self._lane(key_of(delivery))
        if lane.more_stored or len(lane.waiting) >= WINDOW:
            lane.more_stored = True
        else:
            lane.waiting.append(delivery)

    def reload(self, key: LaneKey) -> None:
        """The lane has stored receipts that this process has not seen."""
        self._lane(key).more_stored = True

    def take(
        self, key: LaneKey, now: datetime, most: int, *, refill: bool = True
    ) -> list[Delivery]:
        """Heads that may be sent now, moved to in flight; at most ``most`` in flight at once."""
        lane = self._lane(key)
        taken: list[Delivery] = []
        while len(lane.in_flight) < most:
            if refill:
                self._refill(lane)
            due_at = lane.due_at()
            if due_at is None or due_at > now:
                break
            if lane.waiting[0].refers_to is not None and lane.in_flight:
                break  # the message that it changes may be among them
            delivery = lane.waiting.popleft()
            lane.in_flight[delivery.delivery_id] = delivery
            taken.append(delivery)
        return taken

    def finish(self, delivery: Delivery) -> None:
        """The receipt reached a final state."""
        lane = self._lane(key_of(delivery))
        lane.in_flight.pop(delivery.delivery_id, None)

    def replace(self, delivery: Delivery) -> None:
        """A waiting receipt has changed: its files are there, or others were joined into it."""
        lane = self._lane(key_of(delivery))
        for place, waiting in enumerate(lane.waiting):
            if waiting.delivery_id == delivery.delivery_id:
                lane.waiting[place] = delivery

    def drop(self, key: LaneKey, delivery_ids: Collection[str]) -> None:
        """Waiting receipts that will not be sent by themselves any more."""
        lane = self._lane(key)
        lane.waiting = deque(item for item in lane.waiting if item.delivery_id not in delivery_ids)

    def length(self, key: LaneKey) -> int:
        """How many are held in memory and not under way."""
        lane = self._lane(key)
        self._refill(lane)
        return len(lane.waiting)

    def waiting(self, key: LaneKey) -> tuple[Delivery, ...]:
        """The same receipts, first one first."""
        return tuple(self._lane(key).waiting)

    def is_held_back(self, instance: str, platform_id: str, now: datetime) -> bool:
        """Whether something for this chat waits for its next attempt."""
        return any(
            (due := lane.due_at()) is not None and due > now
            for key, lane in self._lanes.items()
            if key.instance == instance and key.platform_id == platform_id
        )

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Unfinished receipts of one lane return to its front, in their old order."""
        for delivery in sorted(deliveries, key=lambda item: item.row_number, reverse=True):
            key = key_of(delivery)
            lane = self._lane(key)
            lane.in_flight.pop(delivery.delivery_id, None)
            lane.waiting.appendleft(delivery)

    def sendable(self) -> Iterator[LaneKey]:
        """Lanes that may have something to send; empty ones are forgotten."""
        for key, lane in list(self._lanes.items()):
            if lane.waiting or lane.more_stored:
                yield key
            elif not lane.in_flight:
                del self._lanes[key]

    def next_due(self, now: datetime) -> datetime | None:
        """The earliest time, after now, at which an idle lane's head may be tried."""
        times = [
            due
            for lane in self._lanes.values()
            if not lane.in_flight and (due := lane.due_at()) is not None and due > now
        ]
        return min(times, default=None)

    def in_flight(self, instance: str) -> int:
        lanes = (lane for lane in self._lanes.values() if lane.key.instance == instance)
        return sum(len(lane.in_flight) for lane in lanes)

    def _lane(self, key: LaneKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        return lane

    def _refill(self, lane: Lane) -> None:
        if lane.waiting or not lane.more_stored:
            return
        last = max((item.row_number for item in lane.in_flight.values()), default=0)
        fetched = self._fetch(lane.key, last, WINDOW)
        lane.more_stored = len(fetched) == WINDOW
        lane.waiting.extend(item for item in fetched if item.delivery_id not in lane.in_flight)
