"""The terminal's clients, their lines and their acknowledgements; runs on the listening thread.

Called by the adapter. Events go to the worker, whose answers come from other threads and are
posted to this one's reactor. A client whose messages wait for the router is not read any further,
so a flood fills its own buffers and nobody else's (C-30).
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import to_text, utc_now
from contract.ids import new_id
from nanoclaw.channels.adapter import ChannelHost
from nanoclaw.channels.cli.client import Client
from nanoclaw.channels.cli.hand_over import HandOver
from nanoclaw.channels.cli.lines import (
    Ack,
    Got,
    Greeting,
    Leave,
    Reply,
    Say,
    Welcome,
    is_line_id,
    parse_client_line,
)
from nanoclaw.channels.cli.lobby import Lobby
from nanoclaw.channels.cli.questions import Answer, Questions
from nanoclaw.channels.cli.translate import LOCAL_CHAT, LOCAL_SENDER, Sending, to_event
from nanoclaw.channels.failure import HostStoppingError
from nanoclaw.events import Action, ActionOutcome, ActionResult, Committed, Outcome
from nanoclaw.link import peer_uid
from nanoclaw.reactor import Reactor

MAX_CLIENTS = 64
MAX_UNCOMMITTED_PER_CLIENT = 64
MAX_UNCOMMITTED = 192
"""Less than what makes ``host.submit`` block: this thread also shows replies."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SwitchboardParts:
    host: ChannelHost
    lobby: Lobby
    hand_over: HandOver
    questions: Questions
    own_uid: int


class Switchboard:
    """All connected clients of one instance."""

    def __init__(self, reactor: Reactor, parts: SwitchboardParts) -> None:
        self._reactor = reactor
        self._parts = parts
        self._lobby = parts.lobby
        self._uncommitted = 0

    def accept(self, server: socket.socket) -> None:
        """Takes one waiting connection."""
        try:
            connection, _ = server.accept()
        except OSError:
            return
        if peer_uid(connection) not in (None, self._parts.own_uid, 0):
            connection.close()
            return
        client = Client(
            self._reactor, connection, new_id("anon"), self._on_line, self._on_client_closed
        )
        self._lobby.enter(client)
        self._parts.host.alive()
        if len(self._lobby.clients) > MAX_CLIENTS:
            client.send(Reply(f"There are {MAX_CLIENTS} clients already.", notice=True))
            client.close()

    def close(self) -> None:
        for client in self._lobby.clients:
            client.close()

    def _on_client_closed(self, client: Client) -> None:
        self._lobby.leave(client, self._reactor.now())
        self._parts.hand_over.client_left(client)

    def _on_line(self, client: Client, raw: bytes) -> None:
        self._parts.host.alive()
        was_slow, client.slow = client.slow, False
        match parse_client_line(raw):
            case Greeting() as greeting:
                self._greet(client, greeting)
            case Got(reply_id):
                self._parts.hand_over.confirm(client, [reply_id])
            case Say() as say:
                self._say(client, say)
            case Leave():
                client.named = False
            case None:
                log.warning("line ignored", extra={"channel": "cli", "reason": "no message in it"})
        if was_slow:
            self._parts.hand_over.offer_kept(client)

    def _greet(self, client: Client, greeting: Greeting) -> None:
        earlier = self._lobby.find(greeting.client)
        if earlier is not None and earlier is not client:
            earlier.close()  # the same program has come back before we noticed that it was gone
        client.name, client.named = greeting.client, True
        client.listens, client.confirms = greeting.listens, greeting.confirms
        client.send(Welcome(says_done=True))
        self._parts.hand_over.confirm(client, greeting.got)
        self._parts.hand_over.offer_kept(client)

    def _say(self, client: Client, say: Say) -> None:
        if say.greeting is not None and say.greeting.client != client.name:
            self._greet(client, say.greeting)
        if say.id is not None and not is_line_id(say.id):
            log.warning("line ignored", extra={"channel": "cli", "reason": "id not usable"})
            self._acknowledge(client, say, Committed(Outcome.REJECTED, "the id is not usable"))
            return
        if not client.named and say.to is None and not client.listens:
            client.listens = True  # an old program: what it says makes it a chat window (H-268)
            self._parts.hand_over.offer_kept(client)
        answer = self._parts.questions.match(say.text, utc_now()) if say.to is None else None
        if answer is None:
            self._submit(client, say)
        else:
            self._press(client, say, answer)

    def _submit(self, client: Client, say: Say) -> None:
        now = utc_now()
        sending = Sending(client.name, client.named, say.id or new_id("cli"))
        event = to_event(say, sending, to_text(now))
        self._count(client, 1)

        def on_committed(committed: Committed) -> None:
            self._reactor.post(lambda: self._committed(client, say, committed))

        try:
            self._parts.host.submit(event, on_committed)
        except HostStoppingError:
            return  # not acknowledged: the client sends it again to our successor

    def _committed(self, client: Client, say: Say, committed: Committed) -> None:
        self._count(client, -1)
        self._acknowledge(client, say, committed)

    def _acknowledge(self, client: Client, say: Say, committed: Committed) -> None:
        if say.ack and say.id is not None:
            client.send(Ack(say.id, committed.outcome.value, committed.reason))

    def _count(self, client: Client, change: int) -> None:
        """Keeps count of what waits for the router; stops and resumes reading."""
        client.uncommitted += change
        self._uncommitted += change
        if change > 0:
            if self._uncommitted >= MAX_UNCOMMITTED or self._is_full(client):
                client.pause()
            return
        if self._uncommitted < MAX_UNCOMMITTED:
            for other in self._lobby.clients:
                if not self._is_full(other):
                    other.resume()

    @staticmethod
    def _is_full(client: Client) -> bool:
        return client.uncommitted >= MAX_UNCOMMITTED_PER_CLIENT

    def _press(self, client: Client, say: Say, answer: Answer) -> None:
        question = answer.question
        action = Action(
            action_key=f"{client.name}~{say.id or new_id('cli')}",
            question_id=question.question_id,
            value=answer.value,
            user_id=LOCAL_SENDER,
            platform_id=LOCAL_CHAT,
            message_id=question.message_id,
        )

        def on_result(result: ActionResult) -> None:
            self._reactor.post(lambda: self._pressed(client, say, answer, result))

        self._parts.host.action(action, on_result)

    def _pressed(self, client: Client, say: Say, answer: Answer, result: ActionResult) -> None:
        if result.outcome is ActionOutcome.UNKNOWN:
            self._parts.questions.close(answer.question.question_id)
            self._submit(client, say)
            return
        if result.outcome is not ActionOutcome.NOT_ALLOWED:
            self._parts.questions.close(answer.question.question_id)
        accepted = result.outcome is ActionOutcome.ACCEPTED
        client.send(Reply(_result_text(answer, result), notice=True))
        outcome = Outcome.ROUTED if accepted else Outcome.IGNORED
        self._acknowledge(client, say, Committed(outcome, None if accepted else result.outcome))


_RESULT_TEXTS: dict[ActionOutcome, Callable[[Answer, ActionResult], str]] = {
    ActionOutcome.ACCEPTED: lambda answer, _: f"{answer.question.title}: {answer.label}",
    ActionOutcome.ALREADY_ANSWERED: lambda answer, result: (
        f"{answer.question.title}: already answered"
        + (f" with {result.chosen_label}" if result.chosen_label else "")
        + (f" by {result.chosen_by}" if result.chosen_by else "")
    ),
    ActionOutcome.EXPIRED: lambda answer, _: f"{answer.question.title}: this question is closed",
    ActionOutcome.NOT_ALLOWED: lambda answer, _: f"{answer.question.title}: not yours to decide",
}


def _result_text(answer: Answer, result: ActionResult) -> str:
    return _RESULT_TEXTS[result.outcome](answer, result)
