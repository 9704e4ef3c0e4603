"""The first message for a new agent, through the terminal channel's socket of the running host.

Used by ``first_agent`` and ``register``. One line with an acknowledgement (H-267): what the host
has confirmed is on its disk. The same id means the same message, so it may be sent again.
"""

import socket
import time
from pathlib import Path

from contract.ids import new_id
from nanoclaw.channels.cli.lines import Ack, Place, Say, parse_host_line, render_client_line
from nanoclaw.errors import ChannelError

ACK_SECONDS = 10.0
MAX_RECEIVED_BYTES = 1024 * 1024
TAKEN = ("routed", "held", "accumulated")
WELCOME = (
    "[From the system] You have just been connected to this chat. Run /welcome: introduce "
    "yourself in one or two sentences and say what you can do here."
)


def say(path: Path, text: str, place: Place, sender_id: str, sender: str) -> Ack:
    """What the host made of it. Raises ChannelError when it does not answer in time."""
    line = Say(text, id=new_id("welcome"), ack=True, to=place, sender_id=sender_id, sender=sender)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(ACK_SECONDS)
            link.connect(str(path))
            link.sendall(render_client_line(line))
            return _ack(link)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ChannelError(f"the host at {path} did not take the welcome: {reason}") from error


def _ack(link: socket.socket) -> Ack:
    received = b""
    deadline = time.monotonic() + ACK_SECONDS
    while len(received) < MAX_RECEIVED_BYTES and time.monotonic() < deadline:
        data = link.recv(65536)
        if not data:
            break
        *lines, received = (received + data).split(b"\n")
        for raw in lines:
            found = parse_host_line(raw)
            if isinstance(found, Ack):
                return found
    raise ConnectionError("it ended without a confirmation")
