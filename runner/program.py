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
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import SchemaMismatch, SessionFileCorrupt
from contract.exits import RunnerExit
from contract.layout import MOUNT_EXTRA, RunnerPaths
from runner.errors import ConfigError, FencedOffError, GiveUpError
from runner.heartbeat import Heartbeat
from runner.image_check import check_image
from runner.instructions.model import InstructionSource
from runner.lease import Lease
from runner.limits import apply_limits
from runner.log import fields, set_up_logging
from runner.loop import Loop, LoopParts
from runner.providers.base import Books, ProviderOptions
from runner.providers.registry import ProviderRegistry
from runner.settings import Settings, read_settings
from runner.store import Store
from runner.toolbox.base import Toolbox
from runner.toolbox.none import NoInstructions, Nothing, NoTools
from runner.turn.current import CurrentTurn
from runner.wakeup import Wakeup

if TYPE_CHECKING:
    from runner.door import Relay

_log = logging.getLogger("runner")

SCRIPTED = "scripted"

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
        check_image()
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
    store = Store(settings.paths, Lease(settings.paths.session_json, settings.session.lease))
    wakeup = Wakeup(settings.paths, os.environ)
    wakeup.start()
    relay = await _open_door(settings)
    try:
        loop = await _build(settings, store, wakeup)
        _stop_on_signals(loop)
        gc.freeze()  # what start-up made stays; the collector need not look at it again
        gc.enable()
        _log.info(
            "runner up",
            extra=fields(session=settings.session.session_id, reason=settings.provider),
        )
        await loop.run()
    finally:
        if relay is not None:
            await relay.close()
        wakeup.close()
        store.close()


async def _open_door(settings: Settings) -> "Relay | None":
    """The way to the vault; what is started later finds it in its environment."""
    if settings.session.door is None:
        return None
    from runner.door import Relay
    from runner.trust import trusted

    relay = Relay(settings.session.door)
    await relay.start()
    os.environ.update(relay.environment())
    os.environ.update(trusted(settings.paths, os.environ))
    return relay


async def _build(settings: Settings, store: Store, wakeup: Wakeup) -> Loop:
    """Raises ConfigError when the provider cannot work."""
    registry = ProviderRegistry()
    current = CurrentTurn()
    heartbeat = Heartbeat(settings.paths.heartbeat, settings.session.heartbeat_seconds)
    if settings.provider == SCRIPTED and not _script_calls_tools(settings):
        options = _options(settings, NoTools(), NoInstructions(), Nothing())
        provider = registry.create(settings.provider, options)
        return Loop(LoopParts(settings, store, provider, wakeup, heartbeat, current))
    # Imported late: an agent with a fixed script starts without all of it.
    from runner.equipment import equip

    equipment = equip(settings, store, current, os.environ, _extra_directories())
    options = _options(settings, equipment.toolbox, equipment.instructions, equipment.desk)
    options = replace(options, taint=current.taint, open_ends=equipment.open_ends)
    provider = registry.create(settings.provider, options)
    if (save := getattr(provider, "save_todo", None)) is not None:
        equipment.todo.save_with(save)
    await equipment.desk.start()
    return Loop(
        LoopParts(
            settings,
            store,
            provider,
            wakeup,
            heartbeat,
            current,
            equipment.desk,
            equipment.toolbox,
            equipment.skill_body,
            os.environ,
        )
    )


def _script_calls_tools(settings: Settings) -> bool:
    """Rather once too often: it only costs the time to start."""
    return "call" in (settings.config.script or "")


def _options(
    settings: Settings, toolbox: Toolbox, instructions: InstructionSource, books: "Books"
) -> ProviderOptions:
    return ProviderOptions(
        paths=settings.paths,
        session=settings.session,
        config=settings.config,
        toolbox=toolbox,
        instructions=instructions,
        usage=books,
        effects=books,
        environment=os.environ,
        additional_directories=_extra_directories(),
    )


def _stop_on_signals(loop: Loop) -> None:
    stopping = threading.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(RunnerExit.DONE)  # asked twice: at once
        stopping.set()
        # Whatever still hangs then hangs without us; claims are freed by the next lease.
        timer = threading.Timer(STOP_SECONDS, os._exit, (RunnerExit.DONE,))
        timer.daemon = True
        with suppress(RuntimeError):  # no process is free for its thread: the engine will end us
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
