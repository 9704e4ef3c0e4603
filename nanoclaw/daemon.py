"""The host's table of children, and what ``nanoclaw run`` does with it.

Start here to see what a running host consists of: each row names one process. Its composition
root is ``nanoclaw/process/<name>.py``, imported inside the child only, so that no process carries
another one's code. Called by the command line; returns its exit code.
"""

import os
from typing import TYPE_CHECKING

from nanoclaw.config import HostConfig, ServiceManager
from nanoclaw.supervise.child import ChildContext, ChildSpec

if TYPE_CHECKING:
    from nanoclaw.supervise.state import RestartPolicy

PRELOAD = "nanoclaw.process.preload"
INTAKE, WORK, GUARD = 1, 2, 3
"""Stop phases: what lets messages in goes first, so that the others finish what they have; agents
that are stopped with the host may need their door until the end."""


def _preflight(context: ChildContext) -> None:
    from nanoclaw.process import preflight

    preflight.run(context)


def _channel(context: ChildContext) -> None:
    from nanoclaw.process import channel

    channel.run(context)


def _router(context: ChildContext) -> None:
    from nanoclaw.process import router

    router.run(context)


def _delivery(context: ChildContext) -> None:
    from nanoclaw.process import delivery

    delivery.run(context)


def _sweep(context: ChildContext) -> None:
    from nanoclaw.process import sweep

    sweep.run(context)


def _admin(context: ChildContext) -> None:
    from nanoclaw.process import admin

    admin.run(context)


def _vault(context: ChildContext) -> None:
    from nanoclaw.process import vault

    vault.run(context)


PREFLIGHT = ChildSpec("preflight", _preflight)
"""Runs to its end before those that need the state start; what it refuses, the host refuses."""

CHILDREN: tuple[ChildSpec, ...] = (
    ChildSpec("channel:cli", _channel, stop_phase=INTAKE, needs_state=False),
    ChildSpec("router", _router, stop_phase=INTAKE, needed_for_ready=True),
    ChildSpec("delivery", _delivery, stop_phase=WORK, needed_for_ready=True),
    ChildSpec("sweep", _sweep, stop_phase=WORK, stop_seconds=20),
    ChildSpec("admin", _admin, stop_phase=WORK),
    ChildSpec("vault", _vault, stop_phase=GUARD, stop_seconds=8, on_demand=True),
)
"""In the order of starting. ``builder`` is not here: ``sweep`` starts it for one image build."""

DRILL_CHILDREN = tuple(child for child in CHILDREN if child.name in ("router", "sweep", "admin"))
"""What proves that a restored backup starts, and says nothing to anybody."""


def run_host(
    config: HostConfig,
    manager: ServiceManager,
    *,
    children: tuple[ChildSpec, ...] = CHILDREN,
    policy: "RestartPolicy | None" = None,
) -> int:
    """Runs the host until it is told to stop. Raises NanoclawError if it cannot start.

    Imports late and in this order, because the forkserver's own imports are the longest part of
    a start: the sooner it runs, the sooner the children do.
    """
    from nanoclaw.preflight import check_home, open_log
    from nanoclaw.supervise.worker_process import Launcher

    lock = check_home(config)
    try:
        launcher = Launcher(config, PRELOAD)
        os.chdir(config.home)  # Python looks for modules in its working folder, so it must be ours
        launcher.warm_up()
        open_log(config)

        from nanoclaw.reactor import Reactor
        from nanoclaw.supervise.notify import Notifier
        from nanoclaw.supervise.state import RestartPolicy
        from nanoclaw.supervise.supervisor import Supervisor, SupervisorParts

        reactor = Reactor()
        parts = SupervisorParts(
            config, PREFLIGHT, children, policy or RestartPolicy(), launcher, Notifier(manager)
        )
        Supervisor(reactor, parts).run()
        reactor.close()
    finally:
        lock.release()
    return 0
