"""Chat for programs: one message from the command line, or lines from standard input.

Used by ``chat``. The next line is sent when the last one was answered: an agent that gets two at
once may answer both with one reply, and nobody could tell which line it belongs to. Ends when the
answers are there and the host will not repeat them.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from nanoclaw.channels.cli.lines import Ack, Place, Reply
from nanoclaw.cli.chat_link import ChatLink, LinkChange, LinkEvents, fits_line
from nanoclaw.cli.chat_show import Show
from nanoclaw.cli.render import print_error
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor, Timer

SILENCE_SECONDS = 2.0
"""After a reply of a host that does not mark the last one (H-271)."""
LONG_SILENCE_SECONDS = 20.0
"""After a reply that was not the last; an agent may work on between two messages."""
SETTLE_SECONDS = 5.0
"""How long an ending client waits to hear that its replies will not be repeated."""
OWN_CHANNEL = "cli"
STANDARD_INPUT = 0
_READ_BYTES = 64 * 1024
_ON_ITS_WAY = ("routed", "duplicate", "held")


@dataclass(frozen=True, slots=True)
class ScriptOptions:
    to: Place | None
    timeout_seconds: float
    listens: bool
    """Shows also what was not asked for here."""


class Script:
    """Sends lines one after the other and waits for the answer to each."""

    def __init__(
        self, reactor: Reactor, paths: HostPaths, show: Show, options: ScriptOptions
    ) -> None:
        self._reactor = reactor
        self._show = show
        self._options = options
        events = LinkEvents(self._on_reply, self._on_ack, self._on_change)
        self.link = ChatLink(reactor, paths.socket("cli"), events, listens=options.listens)
        self._waiting: deque[str] = deque()
        self._more_to_come = True
        self._current: str | None = None
        self._answered = False
        self._timer: Timer | None = None
        self._said_lost = False
        self._closing = False
        self.unanswered = 0
        """Lines that got no reply; what the exit code is about."""

    def add(self, text: str) -> None:
        """One more line to send."""
        if not fits_line(text):
            print_error("the message is longer than 1 MiB and was not sent")
            self.unanswered += 1
            return
        self._waiting.append(text)
        self._next()

    def end(self) -> None:
        """No more lines; stops the reactor when everything is answered."""
        self._more_to_come = False
        self._next()

    def _next(self) -> None:
        if self._current is not None:
            return
        if self._waiting:
            self._answered = False
            self._current = self.link.say(self._waiting.popleft(), self._options.to)
            self._wait(self._options.timeout_seconds, self._timed_out)
        elif not self._more_to_come and not self._closing:
            self._closing = True
            self._stop_when_settled(self._reactor.now() + SETTLE_SECONDS)

    def _on_reply(self, reply: Reply) -> None:
        own = reply.reply_to is not None and reply.reply_to == self._current
        if not own and not reply.notice and reply.reply_to is None and not self.link.says_done:
            own = self._current is not None  # an old host does not say what it answers
        if own or self._options.listens:
            self._show(reply)
        if not own:
            return
        self._answered = True
        if reply.done:
            self._finish()
        else:
            silence = LONG_SILENCE_SECONDS if self.link.says_done else SILENCE_SECONDS
            self._wait(silence, self._finish)

    def _on_ack(self, ack: Ack) -> None:
        if ack.id != self._current:
            return
        if ack.outcome not in _ON_ITS_WAY:
            print_error(f"the message was not passed on: {ack.reason or ack.outcome}")
            self._finish()
        elif ack.outcome == "held":
            print_error("the message waits for somebody's approval")
        elif self._goes_elsewhere():
            self._answered = True  # the answer appears in that chat, not here
            self._finish()

    def _on_change(self, change: LinkChange) -> None:
        if change is LinkChange.LOST and not self._said_lost:
            self._said_lost = True
            print_error("the connection to the host was lost; trying to reach it again")

    def _goes_elsewhere(self) -> bool:
        to = self._options.to
        return to is not None and to.channel_type != OWN_CHANNEL

    def _timed_out(self) -> None:
        if not self._answered:
            print_error(f"no reply within {self._options.timeout_seconds:g} seconds")
        self._finish()

    def _finish(self) -> None:
        """The current line is done with."""
        if self._current is None:
            return
        if not self._answered:
            self.unanswered += 1
        self._current = None
        self._stop_waiting()
        self._next()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Replaces the wait before it: after the first reply only silence ends a line."""
        self._stop_waiting()
        self._timer = self._reactor.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_when_settled(self, deadline: float) -> None:
        if self.link.is_settled or self._reactor.now() >= deadline:
            self._reactor.stop()
        else:
            self._reactor.call_later(0.005, lambda: self._stop_when_settled(deadline))


def run_once(script: Script, reactor: Reactor, text: str) -> None:
    """Sends one message and returns when it is answered or given up."""
    script.add(text)
    script.end()
    reactor.run()
    script.link.close()


def run_lines(script: Script, reactor: Reactor, source: int = STANDARD_INPUT) -> None:
    """Sends the lines that come from a file descriptor."""

    def read() -> None:
        for line in read_lines(source):
            if line.strip():
                reactor.post(partial(script.add, line))
        reactor.post(script.end)

    # A thread, because a regular file as input cannot be watched by a selector.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    reactor.run()
    script.link.close()


def read_lines(source: int) -> Iterator[str]:
    """Lines without their ends, whatever their bytes; a closed descriptor has none.

    Read without Python's buffers: a thread that waits inside those at the end of the program
    makes the interpreter abort.
    """
    rest = b""
    while data := _read(source):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace").rstrip("\r")


def _read(source: int) -> bytes:
    try:
        return os.read(source, _READ_BYTES)
    except OSError:
        return b""
