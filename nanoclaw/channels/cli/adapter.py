"""The terminal channel's life: the socket, the listening thread, handing parts over (C 4.1).

Driven by the worker. Everything about clients happens on the thread that runs ``listen``;
``deliver_batch`` comes on a pool thread and waits until that one has handed the replies over. The
connection to the "platform" is the socket itself: whoever may open it is the operator.
"""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.channels.adapter import ChannelHost, Identity, Stop
from nanoclaw.channels.cli.files import FileShelf
from nanoclaw.channels.cli.hand_over import CONFIRM_SECONDS, HandOver, Outgoing
from nanoclaw.channels.cli.kept import KeptReplies
from nanoclaw.channels.cli.lines import Reply
from nanoclaw.channels.cli.lobby import Lobby
from nanoclaw.channels.cli.questions import Questions
from nanoclaw.channels.cli.switchboard import Switchboard, SwitchboardParts
from nanoclaw.channels.cli.translate import asker_of, to_reply
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Part
from nanoclaw.events import FailureClass
from nanoclaw.link import listen_unix
from nanoclaw.reactor import Reactor

HAND_OVER_SECONDS = CONFIRM_SECONDS + 10.0
"""Longer than any client is waited for; beyond it the listening thread itself is in trouble."""
CAPABILITIES = Capabilities(
    text_limit=100_000,
    caption_limit=100_000,
    max_files=20,
    max_file_bytes=1024 * 1024 * 1024,
    idempotent_send=IdempotentSend.KEY,
)


class CliChannel:
    """The adapter."""

    capabilities = CAPABILITIES

    def __init__(self) -> None:
        # Kept for the adapter's whole life: late posts from other threads must find it open.
        self._reactor = Reactor()
        self._server: socket.socket | None = None
        self._path = Path()
        self._shelf = FileShelf(Path())
        self._parts: SwitchboardParts | None = None
        self._switchboard: Switchboard | None = None

    def setup(self, host: ChannelHost) -> Identity:
        """Binds the socket; it has mode 0600 before anybody can connect (H-266)."""
        lobby = Lobby(self._reactor.now())
        hand_over = HandOver(self._reactor, lobby, KeptReplies(host.folder))
        self._parts = SwitchboardParts(host, lobby, hand_over, Questions(host.folder), os.getuid())
        self._switchboard = Switchboard(self._reactor, self._parts)
        self._shelf = FileShelf(host.folder)
        self._shelf.sweep(utc_now())
        self._path = host.socket_path
        self._server = listen_unix(self._path)
        return Identity("cli:local", "terminal")

    def listen(self, stop: Stop) -> None:
        """Serves clients until ``stop``."""
        server, switchboard, parts = self._server, self._switchboard, self._parts
        if server is None or switchboard is None or parts is None:
            raise ChannelFailure(FailureClass.OFFLINE, "the socket is not open")
        reactor = self._reactor
        reactor.watch(server.fileno(), lambda: switchboard.accept(server))
        reactor.watch(stop.fileno(), reactor.stop)
        try:
            reactor.run()
        finally:
            reactor.unwatch(stop.fileno())
            reactor.unwatch(server.fileno())
            self._switchboard = self._parts = None
            switchboard.close()
            parts.hand_over.close()

    def deliver(self, platform_id: str, thread_id: str | None, part: Part) -> str | None:
        return self.deliver_batch(platform_id, thread_id, (part,))[0]

    def deliver_batch(
        self, platform_id: str, thread_id: str | None, parts: Sequence[Part]
    ) -> Sequence[str | None]:
        """Every client's program knows a repeated reply by its id, so all go out together."""
        outgoing = [
            Outgoing(to_reply(part, *self._shelf.take(part)), asker_of(part).client)
            for part in parts
        ]

        def note_questions(board: SwitchboardParts) -> list[Outgoing]:
            for part in parts:
                if part.question is not None:
                    board.questions.shown(part.question, part.key, platform_id, utc_now())
            return outgoing

        self._hand_over(note_questions)
        return [part.key for part in parts]

    def resolve_card(self, platform_id: str, message_id: str, text: str) -> None:
        """One line, unless the question was answered here; kept like every reply (C-66)."""

        def close_question(board: SwitchboardParts) -> list[Outgoing]:
            question = board.questions.shown_as(message_id)
            if question is None:
                return []
            board.questions.close(question.question_id)
            return [Outgoing(Reply(text, id=f"{message_id}.over"), None)]

        self._hand_over(close_question)

    def _hand_over(self, prepare: Callable[[SwitchboardParts], list[Outgoing]]) -> None:
        """Returns once the replies are shown or kept; ``prepare`` runs on the listening thread."""
        board = self._parts
        if self._switchboard is None or board is None:
            raise ChannelFailure(FailureClass.OFFLINE, "the terminal socket is not open")
        finished = threading.Event()
        errors: list[OSError] = []

        def on_done(error: OSError | None) -> None:
            if error is not None:
                errors.append(error)
            finished.set()

        def hand_over() -> None:
            if self._parts is not board:
                on_done(OSError("the terminal socket was closed"))
            else:
                board.hand_over.hand_over(prepare(board), on_done)

        self._reactor.post(hand_over)
        if not finished.wait(HAND_OVER_SECONDS):
            raise ChannelFailure(FailureClass.TRANSIENT, "the terminal channel does not answer")
        if errors:
            reason = errors[0].strerror or str(errors[0])
            raise ChannelFailure(FailureClass.TRANSIENT, f"the reply cannot be kept: {reason}")

    def recorded(self, keys: Sequence[str]) -> None:
        def settle() -> None:
            if self._parts is not None:
                self._parts.hand_over.recorded(keys)

        self._reactor.post(settle)

    def probe(self) -> None:
        """The socket that clients would find is the one that we listen on."""
        server = self._server
        try:
            listening = server is not None and self._path.is_socket()
        except OSError:
            listening = False
        if not listening:
            raise ChannelFailure(FailureClass.OFFLINE, f"{self._path} is gone")

    def teardown(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
