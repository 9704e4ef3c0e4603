"""A runner process whose provider always plays the same turn, so that it can be killed in it.

Started by tests with the session's folders in the environment and the name of a play.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime

from helpers.loop_thread import DoubleProvider, Turn, say

from contract.layout import RunnerPaths
from runner.heartbeat import Heartbeat
from runner.lease import Lease
from runner.loop import Loop, LoopParts
from runner.providers.base import Origin, Said
from runner.settings import read_settings
from runner.store import Store
from runner.wakeup import Wakeup

AT = datetime(2026, 3, 9, 12, 5, tzinfo=UTC)
SAID = Said('<message to="me">soon</message>', Origin("c/1", AT))
PLAYS: dict[str, list[Turn]] = {
    "said": [say('<message to="me">done</message>', SAID, origin=Origin("c/2", AT))],
    "nudged": [say("bare"), say('<message to="me">done</message>')],
    "commanded": [],
}
"""What the first turns of a process are; a redelivered batch meets them again."""


async def main(play: str) -> None:
    paths = RunnerPaths.from_environment(os.environ)
    settings = read_settings(paths)
    store = Store(paths, Lease(paths.session_json, settings.session.lease))
    wakeup = Wakeup(paths, os.environ)
    wakeup.start()
    provider = DoubleProvider(*PLAYS[play])
    provider.commands = frozenset({"/cost"})
    await Loop(LoopParts(settings, store, provider, wakeup, Heartbeat(paths.heartbeat, 0.1))).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
