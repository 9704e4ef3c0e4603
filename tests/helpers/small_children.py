"""Small children to test the supervisor with, and tables of them for ``helpers.small_host``.

What a child does is written to ``run/<child>.events``, one word per line, for the tests.
"""

import os
import signal
import sys
import time

from nanoclaw.errors import ConfigError
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildContext, ChildSpec


def note_event(context: ChildContext, word: str) -> None:
    file = context.config.paths.run / f"{context.name.replace(':', '-')}.events"
    with file.open("a") as events:
        events.write(f"{time.monotonic():.6f} {word}\n")


def good(context: ChildContext) -> None:
    reactor = Reactor()
    reactor.on_signals((signal.SIGTERM,), lambda _: reactor.stop())
    note_event(context, f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}")
    note_event(context, "started")
    context.note("watch", "inotify")
    context.ready()
    reactor.run()
    note_event(context, "stopped")


def admin_root(context: ChildContext) -> None:
    from nanoclaw.process import admin

    admin.run(context)


def deaf(context: ChildContext) -> None:
    """Ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note_event(context, "started")
    context.ready()
    while True:
        signal.pause()


def busy(context: ChildContext) -> None:
    """Never returns to any loop; only the watching thread can notice a dead supervisor."""
    context.ready()
    while True:
        pass


def misconfigured(context: ChildContext) -> None:
    note_event(context, "started")
    raise ConfigError("the key tea_pot is missing; add it to config.toml")


def crashing(context: ChildContext) -> None:
    note_event(context, "started")
    raise RuntimeError("the kettle is cold")


def retrying(context: ChildContext) -> None:
    note_event(context, "started")
    sys.exit(75)


def never_ready(context: ChildContext) -> None:
    note_event(context, "started")
    while True:
        signal.pause()


def leaving(context: ChildContext) -> None:
    """Ends without an error, which nobody asked for."""
    note_event(context, "started")
    context.ready()


TABLES: dict[str, tuple[ChildSpec, ...]] = {
    "good": (
        ChildSpec("channel:one", good, stop_phase=1),
        ChildSpec("router", good, stop_phase=1, needed_for_ready=True),
        ChildSpec("delivery", good, stop_phase=2, needed_for_ready=True),
    ),
    "demand": (
        ChildSpec("good", good),
        ChildSpec("vault", good, on_demand=True, stop_phase=3),
    ),
    "busy": (ChildSpec("busy", busy), ChildSpec("deaf", deaf)),
    "deaf": (ChildSpec("deaf", deaf, stop_seconds=0.2), ChildSpec("good", good)),
    "stubborn": (ChildSpec("stubborn", deaf, stop_seconds=3600),),
    "admin": (ChildSpec("admin", admin_root), ChildSpec("good", good)),
    "stateless": (ChildSpec("stateless", good, needs_state=False), ChildSpec("needy", good)),
    "unpicklable": (
        ChildSpec("good", good, needs_state=False),
        ChildSpec("bad", lambda _: None),
    ),
    "misconfigured": (ChildSpec("broken", misconfigured), ChildSpec("good", good)),
    "crashing": (ChildSpec("broken", crashing), ChildSpec("good", good)),
    "retrying": (ChildSpec("broken", retrying), ChildSpec("good", good)),
    "never_ready": (ChildSpec("broken", never_ready), ChildSpec("good", good)),
    "leaving": (ChildSpec("broken", leaving), ChildSpec("good", good)),
    "slow_needed": (
        ChildSpec("router", never_ready, needed_for_ready=True),
        ChildSpec("good", good),
    ),
}
