"""A channel worker that takes everything at once: the other end of the draining benchmark."""

import os
import sys
from pathlib import Path

from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.events import Deliver, Delivered, Frame, Hello
from nanoclaw.link import FrameServer, Peer, QuietHandler
from nanoclaw.reactor import Reactor


class Taker(QuietHandler):
    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, Deliver):
            peer.answer(request_id, Delivered(("p",)))


def main(path: str, by_key: str) -> None:
    reactor = Reactor()
    send = IdempotentSend.KEY if by_key == "1" else IdempotentSend.NONE
    hello = Hello("cli", "cli", os.getpid(), capabilities=Capabilities(idempotent_send=send))
    server = FrameServer(reactor, Path(path), hello, Taker())
    reactor.run()
    server.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
