"""The contract between a platform's code and the worker that drives it (C section 1.2).

An adapter is plain synchronous Python. It reports facts and makes single platform calls; the
worker owns sockets, frames, the journal, order, retries and shutdown. ``Channel`` is what every
adapter has; the small protocols behind it are offered by having the method and by saying so in
the capabilities. An adapter holds no message state but its connection, cursor and caches (C-5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from nanoclaw.capabilities import Capabilities
from nanoclaw.channels.part import Part
from nanoclaw.events import (
    Action,
    ActionResult,
    Committed,
    Conversation,
    DeliveryUpdate,
    InboundEvent,
    Metadata,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on the platform; ``mention_forms`` are the ways people write our name."""

    account_id: str
    name: str
    mention_forms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """The platform has the message."""

    message_id: str | None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The platform does not have the message."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The platform cannot say; the channel's policy decides (C-32)."""


FindResult = Sent | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A webhook call that the ingress passed on; the signature is not checked yet."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    remote: str


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Stop(Protocol):
    """Says when to stop; ``fileno`` becomes readable then, for code that waits in a selector."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> bool: ...

    def fileno(self) -> int: ...


class ChannelHost(Protocol):
    """What an adapter may ask of the worker; every method may be called from any thread.

    ``inbound`` and ``submit`` raise HostStoppingError once the worker is stopping.
    """

    @property
    def instance(self) -> str:
        """Name of this account: the channel's own name, or ``<channel>-<label>`` (C-1)."""

    @property
    def folder(self) -> Path:
        """The account's own folder below ``data/channels``; exists, mode 0700."""

    @property
    def socket_path(self) -> Path:
        """Where a channel that listens on a Unix socket binds it."""

    def inbound(self, event: InboundEvent) -> Committed:
        """Returns once the router has committed the event; acknowledge to the platform after it.

        A free address or an answer address is allowed to operator transports only (C-17).
        """

    def submit(self, event: InboundEvent, on_committed: Callable[[Committed], None]) -> None:
        """As ``inbound`` without waiting; blocks only while 256 events are uncommitted (C-30).

        Events of one chat are committed in the order of the calls. ``on_committed`` is called
        once, on another thread, and must not block.
        """

    def action(self, action: Action, on_result: Callable[[ActionResult], None]) -> None:
        """A pressed button (C-15); answers within 2 s, ``unknown`` if the router cannot say."""

    def metadata(self, metadata: Metadata) -> None:
        """Name, kind or new id of a chat (C-14); sent again until the router has it."""

    def delivery_update(self, update: DeliveryUpdate) -> None:
        """Late news about something that the platform had accepted (C-16)."""

    def reject(self, payload: bytes, reason: str) -> None:
        """Keeps aside what could not be translated, counts it and goes on (C-26)."""

    def alive(self) -> None:
        """Bytes came in; the watchdog may rest (C-42)."""


@runtime_checkable
class Channel(Protocol):
    """What every adapter has."""

    @property
    def capabilities(self) -> Capabilities: ...

    def setup(self, host: ChannelHost) -> Identity:
        """Connects so far that sending works; at most 30 s. Raises ChannelFailure.

        Safe to call again after ``teardown``.
        """

    def deliver(self, platform_id: str, thread_id: str | None, part: Part) -> str | None:
        """Makes exactly one platform call with a visible effect; returns the platform's id.

        Raises ChannelFailure. The part is rendered and within the declared limits.
        """

    def probe(self) -> None:
        """Cheap proof of life; raises ChannelFailure when the connection is dead."""

    def teardown(self) -> None:
        """Lets go of the connection within 5 s; never deletes state on the platform."""


@runtime_checkable
class Listens(Protocol):
    def listen(self, stop: Stop) -> None:
        """Receives until ``stop``; returns or raises ChannelFailure when disconnected."""


@runtime_checkable
class HandlesHttp(Protocol):
    def handle_http(self, request: HttpRequest) -> HttpResponse:
        """Checks the signature, hands the events in, answers after they are committed."""


@runtime_checkable
class FindsSent(Protocol):
    def find_sent(self, platform_id: str, thread_id: str | None, part: Part) -> FindResult:
        """Asks the platform whether a part arrived whose outcome is not known."""


@runtime_checkable
class SendsBatches(Protocol):
    """Only with ``idempotent_send=key``: a crash may repeat the whole batch (design 4)."""

    def deliver_batch(
        self, platform_id: str, thread_id: str | None, parts: Sequence[Part]
    ) -> Sequence[str | None]:
        """Sends all parts in order. Raises ChannelFailure if one may not have arrived."""


@runtime_checkable
class WantsReceipts(Protocol):
    def recorded(self, keys: Sequence[str]) -> None:
        """The worker will never send the parts with these keys again. Must not block."""


@runtime_checkable
class Edits(Protocol):
    def edit(self, platform_id: str, message_id: str, part: Part) -> None:
        """Idempotent; "not modified" is success."""


@runtime_checkable
class Reacts(Protocol):
    def react(self, platform_id: str, message_id: str, emoji: str) -> None:
        """Idempotent; "already reacted" is success."""


@runtime_checkable
class ResolvesCards(Protocol):
    def resolve_card(self, platform_id: str, message_id: str, text: str) -> None:
        """Shows a question as over: ``text`` instead of its buttons (C-66); idempotent.

        For cards that ended elsewhere; the adapter itself does it after a press.
        """


@runtime_checkable
class ShowsTyping(Protocol):
    def set_typing(self, platform_id: str, thread_id: str | None) -> None:
        """Best effort within 3 s."""


@runtime_checkable
class FetchesAttachments(Protocol):
    def fetch_attachment(self, ref: str, into: BinaryIO) -> None:
        """Streams a file that a message referred to."""


@runtime_checkable
class OpensDirectChats(Protocol):
    def open_dm(self, handle: str) -> str:
        """Platform id of the direct chat with a user; idempotent."""


@runtime_checkable
class ListsConversations(Protocol):
    def sync_conversations(self) -> Sequence[Conversation]: ...


@runtime_checkable
class ResolvesNames(Protocol):
    def resolve_name(self, platform_id: str) -> str | None:
        """The chat's name, within 5 s."""


@runtime_checkable
class Subscribes(Protocol):
    def subscribe(self, platform_id: str, thread_id: str) -> None:
        """Receive later messages of a thread; idempotent."""


@runtime_checkable
class CatchesUp(Protocol):
    def catch_up(self, since: datetime | None) -> None:
        """Hands in what was missed, with the same event keys as live events (C-43)."""
