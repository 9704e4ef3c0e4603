"""A message before it is routed, as the interceptors see it, and what they say of it. Values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nanoclaw.events import InboundEvent


@dataclass(frozen=True, slots=True)
class Intercepted:
    """The event is consumed; ``reason`` is one word for the log (``pairing``, ``name`` ...).

    What is said in return has been queued as a host-made delivery in the same transaction.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """``user_id`` is namespaced (H-4, W-5). ``folders`` lists those that a new agent must not get;
    called for the name of one only."""

    instance: str
    channel_type: str
    user_id: str
    event: InboundEvent
    folders: Callable[[], Iterable[str]] = tuple
