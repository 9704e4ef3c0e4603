"""The chat window: a prompt with history at the bottom, replies above it.

Used by ``chat`` when both ends are a terminal. The prompt runs in the main thread, the connection
on a reactor in a second one; output is printed above the prompt, so a line that is being typed is
never torn. The history file lies in the home folder, readable by its owner only.
"""

import os
import threading
from functools import partial
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout

from nanoclaw.channels.cli.lines import Ack, Place, Reply
from nanoclaw.cli.chat_link import ChatLink, LinkChange, LinkEvents, fits_line
from nanoclaw.cli.chat_show import ShowOptions, make_show
from nanoclaw.config import HostConfig
from nanoclaw.reactor import Reactor

HISTORY_NAME = "chat_history"
GREETING = "Alt-Enter starts a new line, Ctrl-D leaves."
SETTLE_SECONDS = 2.0
_PROMPT, _COLOURED_PROMPT = "you: ", "\x1b[1;32myou\x1b[0m: "


class Window:
    """One chat window. ``link`` belongs to the reactor's thread."""

    def __init__(self, config: HostConfig, options: ShowOptions, to: Place | None) -> None:
        self._config = config
        self._options = options
        self._to = to
        self._reactor = Reactor()
        self._show = make_show(options)
        events = LinkEvents(self._show, self._on_ack, self._on_change)
        self._link = ChatLink(self._reactor, config.paths.socket("cli"), events, listens=True)
        self._lost = False

    def run(self) -> bool:
        """Talks until the user leaves; False if no host is there."""
        if not self._link.connect():
            return False
        thread = threading.Thread(target=self._reactor.run, name="chat-link", daemon=True)
        with patch_stdout(raw=True):
            self._notice(GREETING)
            thread.start()
            self._read_lines()
            self._reactor.post(lambda: self._leave(self._reactor.now() + SETTLE_SECONDS))
            thread.join(SETTLE_SECONDS + 1)
        return True

    def _read_lines(self) -> None:
        session = self._session()
        prompt = ANSI(_COLOURED_PROMPT) if self._options.coloured else _PROMPT
        while True:
            try:
                text: str = session.prompt(prompt)
            except KeyboardInterrupt:
                continue  # clears the line, as in a shell
            except EOFError:
                return
            if not text.strip():
                continue
            if fits_line(text):
                self._reactor.post(partial(self._say, text))
            else:
                self._notice("The message is longer than 1 MiB and was not sent.")

    def _session(self) -> "PromptSession[str]":
        bindings = KeyBindings()

        @bindings.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        return PromptSession(
            history=FileHistory(str(private_file(self._config.home / HISTORY_NAME))),
            key_bindings=bindings,
            color_depth=None if self._options.coloured else ColorDepth.DEPTH_1_BIT,
            prompt_continuation="     ",
        )

    def _say(self, text: str) -> None:
        self._link.say(text, self._to)

    def _on_ack(self, ack: Ack) -> None:
        if ack.outcome in ("ignored", "rejected"):
            self._notice(f"The message was not passed on: {ack.reason or ack.outcome}.")
        elif ack.outcome == "held":
            self._notice("The message waits for somebody's approval.")

    def _on_change(self, change: LinkChange) -> None:
        if change is LinkChange.LOST:
            self._notice("The connection to the host was lost; trying to reach it again ...")
        else:
            self._notice("The host is back.")

    def _notice(self, text: str) -> None:
        self._show(Reply(text, notice=True))

    def _leave(self, deadline: float) -> None:
        if self._link.is_settled or self._reactor.now() >= deadline:
            self._link.close()
            self._reactor.stop()
        else:
            self._reactor.call_later(0.01, lambda: self._leave(deadline))


def run_window(config: HostConfig, options: ShowOptions, to: Place | None) -> bool:
    return Window(config, options, to).run()


def private_file(path: Path) -> Path:
    """The file exists with mode 0600 before anybody writes to it."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path
