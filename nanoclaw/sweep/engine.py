"""Whether agents can be started just now, and with what: engine, image, code.

Owned by ``loop``. Without an engine the host runs and looks for one every two seconds; without an
image a build is started; the Docker SDK is loaded with the first container. Whatever comes back
after an interruption is compared with what the loop believes before anything is started, because
events were missed.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from contract.clock import utc_now
from nanoclaw.config import HostConfig, Runtime
from nanoclaw.containers import engine_ping
from nanoclaw.containers import runtime as containers
from nanoclaw.containers.payload import Payload, compile_for_host, unpack
from nanoclaw.containers.recipe import read_recipe
from nanoclaw.errors import ContainerError
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.supervise.child import Entry
from nanoclaw.sweep.builds import Builds
from nanoclaw.sweep.offload import Offload

ABSENT_PROBE_SECONDS = 2.0
PRESENT_PROBE_SECONDS = 30.0

log = logging.getLogger(__name__)


class EngineState(StrEnum):
    """READY: containers can be started as soon as one is wanted."""

    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    NO_IMAGE = "no image"
    BUILDING = "building the image"
    READY = "ready"


class Listener(Protocol):
    """Who is told; the loop."""

    def on_engine_change(self) -> None:
        """State, reason or build progress differ."""

    def known_containers(self) -> frozenset[str]:
        """Those that are in the table as running."""

    def on_connected(self, found: list[containers.Found], known_before: frozenset[str]) -> None:
        """Everything of ours that the runtime knows; ``known_before`` is what the table had when
        it was asked."""

    def on_checked(self, found: list[containers.Found], known_before: frozenset[str]) -> None:
        """The same question while connected; others may be starting just now."""

    def on_died(self, container_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Probe:
    api_version: str
    image_id: str | None


class Engine:
    """All methods run on the reactor's thread."""

    def __init__(
        self, reactor: Reactor, offload: Offload, config: HostConfig, build_entry: Entry
    ) -> None:
        self._reactor = reactor
        self._offload = offload
        self._config = config
        self._listener: Listener | None = None
        self._timer: Timer | None = None
        self._api_version = ""
        self._probing = False
        self._connecting = False
        self._feed = 0
        self.builds = Builds(reactor, config, build_entry, self._on_build_change)
        self.payload: Payload = unpack(config.paths)
        self.state = EngineState.UNKNOWN
        self.reason = ""
        self.since: datetime = utc_now()
        self.image_id: str | None = None
        self.runtime: containers.Runtime | None = None
        """Set while connected and compared: only then may anything be started."""

    @property
    def is_docker(self) -> bool:
        return self._config.runtime is Runtime.DOCKER

    def start(self, listener: Listener) -> None:
        self._listener = listener
        if self.is_docker:
            self._probe()
            return
        compile_for_host(self.payload)
        self.image_id = ""
        self._set_state(EngineState.READY, "agents run as processes, without a sandbox")
        self.want()

    def want(self) -> None:
        """Something is to be started or looked at: connects unless that is done or under way."""
        if self.state is not EngineState.READY or self._connecting or self.runtime is not None:
            return
        self._connecting = True
        self._offload.submit(self._connect, self._on_runtime, self._on_lost)

    def lost(self, error: ContainerError) -> None:
        """A call found the engine gone."""
        if self.state is EngineState.READY:
            log.warning("container engine lost", extra={"reason": str(error)})
        self._on_lost(error)

    def image_gone(self) -> None:
        """The image was removed behind our back: the same as an engine without one."""
        self.image_id = None
        self._on_lost(ContainerError("the agent image was removed"))

    def close(self) -> None:
        self._feed += 1
        self.builds.close()
        if self._timer is not None:
            self._timer.cancel()
        if self.runtime is not None:
            self.runtime.close()

    # --- is it there ------------------------------------------------------------------------------

    def _probe(self) -> None:
        """Not while connected: then the stream of events tells when the engine goes."""
        if self._probing or self.runtime is not None:
            return
        self._probing = True
        self._offload.submit(self._look, self._on_probe, self._on_probe_failed)

    def _look(self) -> Probe:
        """On a worker thread."""
        address = self._config.docker_host
        found = engine_ping.ping(address)
        if not found.is_new_enough:
            raise containers.EngineDown(
                f"the engine at {address} speaks API {found.api_version}; "
                "Docker 20.10 (API 1.41) or newer is needed"
            )
        if self._config.image:
            image_id = engine_ping.find_image_by_name(address, self._config.image)
        else:
            image_id = engine_ping.find_image(address, read_recipe(self._config).label)
        return Probe(found.api_version, image_id)

    def _on_probe(self, probe: Probe) -> None:
        self._probing = False
        self._api_version = probe.api_version
        self.image_id = probe.image_id
        self._probe_later(PRESENT_PROBE_SECONDS)
        if probe.image_id is None:
            self.builds.want()
            self._show_build()
            return
        if not self.payload.is_compiled_for(probe.image_id):
            self.builds.want()  # agents can start meanwhile, only a little slower
        self._set_state(EngineState.READY, "")

    def _on_probe_failed(self, error: ContainerError) -> None:
        self._probing = False
        self._on_lost(error)

    def _probe_later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.call_later(seconds, self._probe)

    def _on_lost(self, error: ContainerError) -> None:
        self._connecting = False
        self._feed += 1
        if self.runtime is not None and self.is_docker:
            self.runtime.close()
            self.runtime = None
        self._set_state(EngineState.UNREACHABLE, str(error))
        self._probe_later(ABSENT_PROBE_SECONDS)

    # --- connection -------------------------------------------------------------------------------

    def _connect(self) -> containers.Runtime:
        """On a worker thread; the import alone takes a tenth of a second."""
        if not self.is_docker:
            from nanoclaw.containers.process_runtime import ProcessRuntime

            return ProcessRuntime()
        from nanoclaw.containers.docker_runtime import DockerRuntime
        from nanoclaw.containers.relays import Doorway

        config = self._config
        doorway = Doorway(config.paths, config.network)
        return DockerRuntime(config.docker_host, self._api_version, config.paths.slug, doorway)

    def _on_runtime(self, runtime: containers.Runtime) -> None:
        self._feed += 1
        arguments = (runtime, self._feed)
        threading.Thread(target=self._listen, args=arguments, name="events", daemon=True).start()

    def _listen(self, runtime: containers.Runtime, feed: int) -> None:
        """The events' own thread; everything it hears goes to the reactor."""
        reason = "the stream of events ended"
        try:
            for event in runtime.events():
                self._reactor.post(lambda event=event: self._on_event(runtime, feed, event))  # type: ignore[misc]  # bound early
        except ContainerError as error:
            reason = str(error)
        self._reactor.post(lambda: self._on_silence(feed, reason))

    def _on_event(
        self, runtime: containers.Runtime, feed: int, event: containers.RuntimeEvent
    ) -> None:
        if feed != self._feed or self._listener is None:
            return
        if isinstance(event, containers.Died):
            self._listener.on_died(event.container_id)
            return
        # From here on nothing is missed, so what the runtime knows now completes the picture.
        known = self._listener.known_containers()

        def on_list(found: list[containers.Found]) -> None:
            if feed == self._feed and self._listener is not None:
                self._connecting = False
                self.runtime = runtime
                self._listener.on_connected(found, known)

        self._offload.submit(runtime.list_containers, on_list, self.lost)

    def check(self) -> None:
        """Looks for deaths that nobody heard of: an event is a hint, never the only way."""
        if self.runtime is None or self._listener is None:
            return
        known, feed = self._listener.known_containers(), self._feed

        def on_list(found: list[containers.Found]) -> None:
            if feed == self._feed and self._listener is not None:
                self._listener.on_checked(found, known)

        self._offload.submit(self.runtime.list_containers, on_list, self.lost)

    def _on_silence(self, feed: int, reason: str) -> None:
        if feed == self._feed:
            self.lost(ContainerError(reason))

    # --- what is shown ----------------------------------------------------------------------------

    def _on_build_change(self) -> None:
        finished = not self.builds.is_running and not self.builds.error
        if self.state in (EngineState.BUILDING, EngineState.NO_IMAGE):
            if finished:
                self._probe()
            else:
                self._show_build()
        elif self._listener is not None:
            self._listener.on_engine_change()

    def _show_build(self) -> None:
        if self.builds.is_running:
            self._set_state(EngineState.BUILDING, self.builds.progress)
        elif self.builds.error:
            self._set_state(EngineState.NO_IMAGE, self.builds.error)
        else:
            self._set_state(EngineState.NO_IMAGE, "")

    def _set_state(self, state: EngineState, reason: str) -> None:
        if state is not self.state:
            self.since = utc_now()
            log.info("engine " + state.value, extra={"reason": reason or None})
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        if changed and self._listener is not None:
            self._listener.on_engine_change()
