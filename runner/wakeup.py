"""What wakes the loop: a change in ``in/``, a bell rung inside the process, or a time.

The loop's only place to wait. inotify reports the closing of ``inbound.db``; on mounts where the
kernel accepts a watch and then stays silent (virtual machines, network folders) a slow look at
the file's times finds out, and from then on we poll. A hint too many costs one short read; one
too few costs ``SAFETY_SECONDS`` once.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from contract.layout import INBOUND_DB, SESSION_JSON, RunnerPaths
from contract.watch import PollingWatch, Watch
from runner.log import fields

_log = logging.getLogger(__name__)

SAFETY_SECONDS = 2.0
_NAMES = frozenset({INBOUND_DB, SESSION_JSON})


class Wakeup:
    """Used from the event loop's thread only; ``start`` and ``close`` frame its use."""

    def __init__(
        self,
        paths: RunnerPaths,
        environment: Mapping[str, str],
        safety_seconds: float = SAFETY_SECONDS,
    ) -> None:
        self._safety_seconds = safety_seconds
        self._in_dir = paths.in_dir
        self._inbound = paths.inbound_db
        self._watch = _open_watch(environment)
        self._bell = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._known: tuple[int, int, int] | None = None
        self._suspected = False

    @property
    def mode(self) -> str:
        return self._watch.mode

    def start(self) -> None:
        """Raises OSError when the folder is not there."""
        try:
            self._watch.add(self._in_dir)
        except OSError:
            if isinstance(self._watch, PollingWatch):
                raise
            self._poll_from_now_on("no watch to be had")
            return
        fd = self._watch.fileno()
        if fd is not None:
            asyncio.get_running_loop().add_reader(fd, self._on_events)
        self._known = _stamp(self._inbound)
        self._schedule()

    def ring(self) -> None:
        self._bell.set()

    def clear(self) -> None:
        """Call before looking, so that what happens meanwhile is not missed."""
        self._bell.clear()

    async def wait(self, seconds: float) -> None:
        """Until the bell, at most so long."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._bell.wait()
        except TimeoutError:
            pass

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        fd = self._watch.fileno()
        if fd is not None:
            asyncio.get_running_loop().remove_reader(fd)
        self._watch.close()

    def _on_events(self) -> None:
        names = {event.name for event in self._watch.read() if event.wd < 0 or event.name in _NAMES}
        if names:
            self._known = _stamp(self._inbound)
            self._suspected = False
            self.ring()

    def _schedule(self) -> None:
        seconds = self._watch.poll_seconds
        loop = asyncio.get_running_loop()
        if seconds is None:
            self._timer = loop.call_later(self._safety_seconds, self._look_for_silence)
        else:
            self._timer = loop.call_later(seconds, self._poll)

    def _poll(self) -> None:
        self._on_events()
        self._schedule()

    def _look_for_silence(self) -> None:
        """A change without an event, seen twice: the watch does not work here."""
        stamp = _stamp(self._inbound)
        if stamp != self._known:
            self.ring()
            if self._suspected:
                self._poll_from_now_on("changes without events")
                return
        self._suspected = stamp != self._known
        self._schedule()

    def _poll_from_now_on(self, reason: str) -> None:
        _log.warning("watching by polling", extra=fields(reason=reason))
        fd = self._watch.fileno()
        if fd is not None:
            asyncio.get_running_loop().remove_reader(fd)
        self._watch.close()
        self._watch = PollingWatch()
        self._watch.add(self._in_dir)
        self._schedule()


def _open_watch(environment: Mapping[str, str]) -> Watch:
    try:
        return Watch.open(environment)
    except OSError as error:  # a sandbox may forbid what the kernel has
        _log.warning("no inotify here", extra=fields(reason=error))
        return PollingWatch()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)
