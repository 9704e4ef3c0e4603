"""Builds the runner's objects, runs the loop, and turns whatever ends it into an exit code.

Called by ``runner/__main__`` only; nothing else joins objects. The code tells the host what to do
(R-3): 0 planned end, 1 crash, 75 another container has the session, 78 not before somebody acts.
The environment is read here and nowhere else.
"""

import asyncio
import gc
import logging
import os
import signal
import threading
from pathlib import Path

from contract.errors import SchemaMismatch, SessionFileCorrupt
from contract.exits import RunnerExit
from contract.layout import MOUNT_EXTRA, RunnerPaths
from runner.errors import ConfigError, FencedOffError, GiveUpError
from runner.heartbeat import Heartbeat
from runner.lease import Lease
from runner.limits import apply_limits
from runner.log import fields, set_up_logging
from runner.loop import Loop, LoopParts
from runner.providers.base import ProviderOptions
from runner.providers.registry import ProviderRegistry
from runner.settings import Settings, read_settings
from runner.store import Store
from runner.wakeup import Wakeup

_log = logging.getLogger("runner")

STOP_SECONDS = 7.0
"""The host waits eight before it kills (R-4)."""
VERBOSE_VARIABLE = "NANOCLAW_VERBOSE"
_DAMAGED_NOTICE = (
    "The agent cannot start: a file of this session is damaged or of a newer version. "
    "Whoever runs this installation has to look at the log."
)


def main() -> int:
    paths = RunnerPaths.from_environment(os.environ)
    set_up_logging(paths.runner_log, verbose=bool(os.environ.get(VERBOSE_VARIABLE)))
    try:
        settings = read_settings(paths)
        _enter(settings)
        asyncio.run(_serve(settings))
    except ConfigError as error:
        return _leave_for_good(paths, error, error.notice)
    except (SessionFileCorrupt, SchemaMismatch) as error:
        return _leave_for_good(paths, error, _DAMAGED_NOTICE)
    except FencedOffError as error:
        _log.warning("fenced off", extra=fields(reason=error))
        return RunnerExit.TEMPFAIL
    except GiveUpError as error:
        _log.error("giving up", extra=fields(reason=error))
        return RunnerExit.FAILED
    except Exception:  # noqa: BLE001 the last door: whatever it was becomes an exit code
        _log.exception("unexpected end")
        return RunnerExit.FAILED
    return RunnerExit.DONE


def _enter(settings: Settings) -> None:
    """The group folder is the working directory; ``-P`` keeps its files from being imported."""
    for problem in settings.problems:
        _log.warning("configuration", extra=fields(reason=problem))
    apply_limits(settings.session.limits.file_bytes)
    try:
        os.chdir(settings.paths.workspace)
    except OSError as error:
        _log.warning("no working directory", extra=fields(reason=error))


async def _serve(settings: Settings) -> None:
    paths = settings.paths
    options = ProviderOptions(paths, settings.session, settings.config, _extra_directories())
    provider = ProviderRegistry().create(settings.provider, options)
    store = Store(paths, Lease(paths.session_json, settings.session.lease))
    heartbeat = Heartbeat(paths.heartbeat, settings.session.heartbeat_seconds)
    wakeup = Wakeup(paths, os.environ)
    wakeup.start()
    loop = Loop(LoopParts(settings, store, provider, wakeup, heartbeat))
    _stop_on_signals(loop)
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    gc.enable()
    _log.info(
        "runner up",
        extra=fields(session=settings.session.session_id, reason=settings.provider),
    )
    try:
        await loop.run()
    finally:
        wakeup.close()
        store.close()


def _stop_on_signals(loop: Loop) -> None:
    stopping = threading.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(RunnerExit.DONE)  # asked twice: at once
        stopping.set()
        # Whatever still hangs then hangs without us; claims are freed by the next lease.
        timer = threading.Timer(STOP_SECONDS, os._exit, (RunnerExit.DONE,))
        timer.daemon = True
        timer.start()
        loop.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _extra_directories() -> tuple[Path, ...]:
    """Additional mounts (R-15); an unreadable entry is skipped."""
    try:
        with os.scandir(MOUNT_EXTRA) as entries:
            return tuple(sorted(Path(entry.path) for entry in entries if entry.is_dir()))
    except OSError:
        return ()


def _leave_for_good(paths: RunnerPaths, error: Exception, notice: str) -> int:
    # Imported late: only those who never start need it.
    from runner.notice import write_notice

    told = write_notice(paths, notice)
    _log.error("cannot start", extra=fields(reason=error, count=int(told)))
    return RunnerExit.CONFIG
