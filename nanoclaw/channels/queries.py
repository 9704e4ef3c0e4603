"""Requests of other processes that send no message (C section 1.6).

Names, direct chats, typing, cards that are over. Given by the worker; answered from the pool,
because each is a platform call. What the adapter does not offer is refused with a reason.
"""

from collections.abc import Callable

from nanoclaw.channels.adapter import (
    Channel,
    ListsConversations,
    OpensDirectChats,
    ResolvesCards,
    ResolvesNames,
    ShowsTyping,
    Subscribes,
)
from nanoclaw.channels.failure import ChannelFailure, Guard
from nanoclaw.channels.pool import Pool
from nanoclaw.events import (
    Conversations,
    FailureClass,
    Frame,
    Ok,
    OpenDm,
    Refused,
    ResolveCard,
    Resolved,
    ResolveName,
    SetTyping,
    Subscribe,
    SyncConversations,
)
from nanoclaw.link import Peer
from nanoclaw.reactor import Reactor

Call = Callable[[], Frame]
Query = OpenDm | ResolveName | SyncConversations | Subscribe | ResolveCard


class Queries:
    """Answers what concerns the platform but sends no message."""

    def __init__(self, reactor: Reactor, adapter: Channel, pool: Pool, guard: Guard) -> None:
        self._reactor = reactor
        self._adapter = adapter
        self._pool = pool
        self._guard = guard

    def handle(self, peer: Peer, request_id: int, body: Frame) -> bool:
        """False if this is no query."""
        if not isinstance(body, Query):
            return False
        call = self._call(body)
        if call is None:
            peer.answer(request_id, Refused("this channel cannot do that"))
        else:
            self._pool.put(lambda: self._run(peer, request_id, call))
        return True

    def set_typing(self, body: SetTyping) -> None:
        adapter = self._adapter
        if body.active and adapter.capabilities.typing and isinstance(adapter, ShowsTyping):
            self._pool.put(
                lambda: self._quietly(lambda: adapter.set_typing(body.platform_id, body.thread_id))
            )

    def subscribe(self, body: Subscribe) -> None:
        """As a hint: whoever sends it does not wait for an answer (H-95)."""
        adapter = self._adapter
        if isinstance(adapter, Subscribes):
            self._pool.put(
                lambda: self._quietly(lambda: adapter.subscribe(body.platform_id, body.thread_id))
            )

    def _call(self, body: Query) -> Call | None:
        adapter = self._adapter
        if isinstance(body, OpenDm):
            return _open_dm(adapter, body.handle)
        if isinstance(body, ResolveCard) and isinstance(adapter, ResolvesCards):
            return lambda: _resolve_card(adapter, body)
        if isinstance(body, ResolveName) and isinstance(adapter, ResolvesNames):
            return lambda: Resolved(adapter.resolve_name(body.platform_id))
        if isinstance(body, SyncConversations) and isinstance(adapter, ListsConversations):
            return lambda: Conversations(tuple(adapter.sync_conversations()))
        if isinstance(body, Subscribe) and isinstance(adapter, Subscribes):
            return lambda: _subscribe(adapter, body)
        return None

    def _run(self, peer: Peer, request_id: int, call: Call) -> None:
        try:
            answer: Frame = self._guard(call, FailureClass.TRANSIENT)
        except ChannelFailure as failure:
            answer = Refused(str(failure))
        self._reactor.post(lambda: peer.answer(request_id, answer))

    def _quietly(self, call: Callable[[], None]) -> None:
        try:
            self._guard(call, FailureClass.TRANSIENT)
        except ChannelFailure:
            return  # such a hint is decoration; it never disturbs anything


def _open_dm(adapter: Channel, handle: str) -> Call:
    """Where nothing has to be opened, the handle itself is the chat's id (H-206)."""
    if isinstance(adapter, OpensDirectChats):
        return lambda: Resolved(adapter.open_dm(handle))
    return lambda: Resolved(handle)


def _resolve_card(adapter: ResolvesCards, body: ResolveCard) -> Frame:
    adapter.resolve_card(body.platform_id, body.message_id, body.text)
    return Ok()


def _subscribe(adapter: Subscribes, body: Subscribe) -> Frame:
    adapter.subscribe(body.platform_id, body.thread_id)
    return Ok()
