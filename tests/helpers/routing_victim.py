"""A router in a process of its own, with one channel, so that it can be killed at its steps.

Run as ``python -m helpers.routing_victim HOME``: sends what it finds in ``HOME/say`` (one message,
perhaps with a file), presses the button if there is one, works off the log and ends.
"""

import sys
from pathlib import Path

from helpers.routing_stage import CHANNEL, CHAT, RouterStage, message

from nanoclaw.events import Action, Attachment


def main(folder: Path) -> None:
    stage = RouterStage(folder)
    stage.loop.replay()
    stage.loop.start()
    spool, size, digest = (folder / "file").read_text().split()
    file = Attachment("image", "photo.jpg", "image/jpeg", int(size), spool, digest)
    stage.send(message(1, "words", attachments=(file,)))
    row = stage.conn.execute("SELECT id FROM pending_sender_approvals").fetchone()
    if row is not None:
        stage.ask(Action("press", row[0], "approve", "owner", CHAT, "card"), CHANNEL)
    stage.settle()
    stage.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
