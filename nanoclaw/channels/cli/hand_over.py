"""Replies on their way to clients: shown and confirmed, or kept on disk (C-76).

Used by the switchboard on its thread. A run of replies is finished, and only then "delivered" for
the host, when each of them was confirmed by a client, written to one that cannot confirm, or put
into the kept file. A client that lets a reply wait is not waited for again until it speaks.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from contract.clock import to_text, utc_now
from nanoclaw.channels.cli.client import Client
from nanoclaw.channels.cli.decide import AWAY_SECONDS, Show, decide_audience, may_return
from nanoclaw.channels.cli.kept import KeptReplies, KeptReply
from nanoclaw.channels.cli.lines import Reply, Settled
from nanoclaw.channels.cli.lobby import Lobby
from nanoclaw.reactor import Reactor, Timer

CONFIRM_SECONDS = 1.0
"""A client that lives confirms within a millisecond; one that does not costs the others this."""
MAX_REMEMBERED = 1000
"""Confirmations and settled replies that are remembered for clients that ask again."""

_Value = TypeVar("_Value")

OnHandedOver = Callable[[OSError | None], None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply and the client that it answers."""

    reply: Reply
    asker: str | None

    @property
    def id(self) -> str:
        return self.reply.id or ""


@dataclass(eq=False, slots=True)
class _Run:
    """Replies that were handed over together."""

    on_done: OnHandedOver
    waiting: dict[str, Outgoing] = field(default_factory=dict)
    shown_to: dict[str, set[Client]] = field(default_factory=dict)
    """Who was sent a reply and can confirm it."""


class HandOver:
    """Everything between the adapter's ``deliver`` and the clients' screens."""

    def __init__(self, reactor: Reactor, lobby: Lobby, kept: KeptReplies) -> None:
        self._reactor = reactor
        self._lobby = lobby
        self._kept = kept
        self._runs: list[_Run] = []
        self._confirmed: OrderedDict[str, str] = OrderedDict()
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._offered: dict[str, Client] = {}
        self._late_timer: Timer | None = None

    def hand_over(self, replies: Sequence[Outgoing], on_done: OnHandedOver) -> None:
        """``on_done`` is called once; with an error nothing counts as delivered."""
        run = _Run(on_done)
        homeless: list[Outgoing] = []
        for outgoing in replies:
            if outgoing.id in self._confirmed:
                continue
            seen, waiting = self._show(outgoing)
            if waiting:
                run.waiting[outgoing.id] = outgoing
                run.shown_to[outgoing.id] = waiting
            elif not seen:
                homeless.append(outgoing)
        error = self._keep(homeless)
        if error is None and run.waiting:
            self._runs.append(run)
            self._reactor.call_later(CONFIRM_SECONDS, lambda: self._give_up(run))
        else:
            on_done(error)

    def confirm(self, client: Client, ids: Iterable[str]) -> None:
        """The client has these replies."""
        for reply_id in ids:
            _remember(self._confirmed, reply_id, client.name)
            self._offered.pop(reply_id, None)
            if self._kept.remove([reply_id]) or reply_id in self._settled:
                client.send(Settled((reply_id,)))
            for run in list(self._runs):
                if run.waiting.pop(reply_id, None) is not None:
                    self._finish_if_done(run)

    def recorded(self, ids: Iterable[str]) -> None:
        """The host will not deliver these again."""
        by_client: dict[str, list[str]] = {}
        for reply_id in ids:
            _remember(self._settled, reply_id, None)
            name = self._confirmed.get(reply_id)
            if name is not None:
                by_client.setdefault(name, []).append(reply_id)
        for name, settled in by_client.items():
            client = self._lobby.find(name)
            if client is not None:
                client.send(Settled(tuple(settled)))

    def client_left(self, client: Client) -> None:
        """What it had not confirmed is kept."""
        self._offered = {key: owner for key, owner in self._offered.items() if owner is not client}
        for run in list(self._runs):
            alone = [reply_id for reply_id in run.waiting if run.shown_to[reply_id] == {client}]
            for shown_to in run.shown_to.values():
                shown_to.discard(client)
            self._keep_from(run, alone)

    def offer_kept(self, client: Client) -> None:
        """Shows a client what was kept for it, and to a chat window also what is nobody's."""
        room, now = self._lobby.room(), self._reactor.now()
        own: list[KeptReply] = []
        others: list[KeptReply] = []
        for item in self._kept.all(utc_now()):
            if item.id in self._offered:
                continue
            if item.client == client.name:
                own.append(item)
            elif item.client is None or (
                item.client not in room.connected and not may_return(item.client, room, now)
            ):
                others.append(item)
        if client.listens and others:
            client.send(Reply(_notice(len(others)), notice=True))
            own += others
        shown = [item.id for item in own if client.send(item.reply())]
        if client.confirms:
            self._offered.update((reply_id, client) for reply_id in shown)
        else:
            self._kept.remove(shown)

    def close(self) -> None:
        """Keeps everything that is not confirmed."""
        for run in list(self._runs):
            self._keep_from(run, list(run.waiting))
        self._kept.close()

    def _show(self, outgoing: Outgoing) -> tuple[bool, set[Client]]:
        """Whether somebody who cannot confirm has it, and who will confirm it."""
        audience = decide_audience(outgoing.asker, self._lobby.room(), self._reactor.now())
        names = audience.clients if isinstance(audience, Show) else ()
        seen, waiting = False, set()
        for client in self._lobby.clients:
            if client.name in names and not client.slow and client.send(outgoing.reply):
                if client.confirms:
                    waiting.add(client)
                else:
                    seen = True
        return seen, set() if seen else waiting

    def _keep(self, replies: Sequence[Outgoing]) -> OSError | None:
        kept_at = to_text(utc_now())
        room, now = self._lobby.room(), self._reactor.now()
        items: list[KeptReply] = []
        for outgoing in replies:
            asker = outgoing.asker
            expected = asker in room.connected or (
                asker is not None and may_return(asker, room, now)
            )
            items.append(KeptReply.of(outgoing.reply, asker if expected else None, kept_at))
        try:
            self._kept.add(items)
        except OSError as error:
            return error
        if any(item.client is not None for item in items) and self._late_timer is None:
            self._late_timer = self._reactor.call_later(AWAY_SECONDS, self._offer_late)
        return None

    def _keep_from(self, run: _Run, ids: Iterable[str]) -> None:
        """Takes replies out of a run and keeps them."""
        error = self._keep([run.waiting.pop(reply_id) for reply_id in ids])
        if error is not None and run in self._runs:
            self._runs.remove(run)
            run.on_done(error)
        else:
            self._finish_if_done(run)

    def _give_up(self, run: _Run) -> None:
        if run not in self._runs:
            return
        for reply_id in run.waiting:
            for client in run.shown_to[reply_id]:
                client.slow = True
        self._keep_from(run, list(run.waiting))

    def _finish_if_done(self, run: _Run) -> None:
        if not run.waiting and run in self._runs:
            self._runs.remove(run)
            run.on_done(None)

    def _offer_late(self) -> None:
        """Clients that did not come back leave their replies to the chat windows."""
        self._late_timer = None
        for client in self._lobby.clients:
            if client.listens and not client.slow:
                self.offer_kept(client)


def _notice(count: int) -> str:
    if count == 1:
        return "One message came while no client was here to show it:"
    return f"{count} messages came while no client was here to show them:"


def _remember(memory: OrderedDict[str, _Value], key: str, value: _Value) -> None:
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
