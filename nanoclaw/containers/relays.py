"""The relays of an installation, and whether it needs them.

Owned by ``docker_runtime``. A relay is made after its agent's container and started before it,
goes with it, and is started again when it has died alone. Nothing about them is kept but labels at
the engine: after whatever crash, the next list of containers shows what is left over.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from contract import layout
from contract.killpoint import reached
from nanoclaw.config import Network
from nanoclaw.containers.docker_body import Body, run_state
from nanoclaw.containers.network import (
    RELAY,
    SOCKET,
    NetworkFacts,
    read_network,
    write_network,
)
from nanoclaw.containers.relay_body import (
    PROBE_LABEL,
    RELAY_LABEL,
    lookup_body,
    probe_body,
    relay_body,
    relay_name,
    through_volume,
    volume_name,
)
from nanoclaw.containers.runtime import RunState
from nanoclaw.containers.spec import INSTALL_LABEL, ContainerSpec
from nanoclaw.errors import ContainerError
from nanoclaw.paths import HostPaths, make_private_folder

PROBE_SECONDS = 30
REVIVE_SECONDS = 2.0
"""A relay that dies sooner again waits for the next list of containers."""
MAX_REMEMBERED = 1000
FOLDER_MODE, SOCKET_MODE = 0o711, 0o666

Entry = Mapping[str, object]
Api = Callable[[], docker.APIClient]
_ENGINE_ERRORS = (DockerException, RequestException)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Doorway:
    """What the operator wants, and where to note what was found."""

    paths: HostPaths
    setting: Network


class Relays:
    """Called on worker threads; what the engine raises passes through."""

    def __init__(self, api: Api, doorway: Doorway) -> None:
        self._api = api
        self._paths = doorway.paths
        self._slug = doorway.paths.slug
        self._setting = doorway.setting
        self._lock = threading.Lock()
        self._facts: NetworkFacts | None = None
        self._revived: dict[str, float] = {}

    # --- which way --------------------------------------------------------------------------------

    def needed_for(self, spec: ContainerSpec) -> bool:
        """Asks the engine the first time; afterwards it is known. Raises ContainerError."""
        app = spec.source_of(layout.MOUNT_APP)
        if spec.source_of(layout.MOUNT_DOOR) is None or app is None:
            return False
        with self._lock:
            if self._facts is None:
                self._facts = self._find_out(spec.image, app)
            return self._facts.is_relay

    def _find_out(self, image: str, app: Path) -> NetworkFacts:
        engine = str(self._api().info().get("ID", ""))
        known = read_network(self._paths)
        if known is not None and known.holds_for(self._setting, engine, image):
            return known
        way, why = self._choose(image, app)
        address = self._host_address(image, app) if way == RELAY else ""
        facts = NetworkFacts(way, why, self._setting.value, engine, image, address)
        write_network(self._paths, facts)
        log.info("way of agents to the vault", extra={"reason": f"{way}: {why}"})
        return facts

    def _choose(self, image: str, app: Path) -> tuple[str, str]:
        if self._setting is not Network.AUTO:
            return self._setting.value, "set by network"
        if self._probe(image, app):
            return SOCKET, "the engine passes sockets in mounted folders"
        return RELAY, "the engine does not pass sockets in mounted folders"

    def _probe(self, image: str, app: Path) -> bool:
        make_private_folder(self._paths.doors)
        folder = self._paths.doors / "probe"
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
        path = folder / layout.DOOR_SOCKET
        path.unlink(missing_ok=True)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
            listener.bind(str(path))
            path.chmod(SOCKET_MODE)
            listener.listen(1)
            status, _ = self._run(probe_body(image, app, folder, self._slug))
        with suppress(OSError):
            path.unlink()
            folder.rmdir()
        return status == 0

    def _host_address(self, image: str, app: Path) -> str:
        status, text = self._run(lookup_body(image, app, self._slug))
        if status:
            raise ContainerError(f"a relay cannot find the host: {text}; see docs/vault.md")
        return text

    def _run(self, body: Body) -> tuple[int, str]:
        """A short-lived container to its end; at most one of an installation."""
        api = self._api()
        for left in api.containers(all=True, filters={"label": [f"{PROBE_LABEL}={self._slug}"]}):
            api.remove_container(left["Id"], force=True, v=True)
        container_id = _created(api, body, None)
        try:
            api.start(container_id)
            status = int(api.wait(container_id, timeout=PROBE_SECONDS)["StatusCode"])
            text = api.logs(container_id, tail=5).decode("utf-8", "replace").strip()
        finally:
            api.remove_container(container_id, force=True, v=True)
        return status, text

    @property
    def _in_use(self) -> bool:
        """As far as is known, also by an earlier host."""
        facts = self._facts or read_network(self._paths)
        return facts is not None and facts.is_relay

    # --- one agent's relay ------------------------------------------------------------------------

    def agent_body(self, body: Body, spec: ContainerSpec) -> Body:
        return through_volume(body, spec, self._slug)

    def start(self, spec: ContainerSpec) -> None:
        """In the place of an earlier one. The agent's container exists and does not run yet."""
        api = self._api()
        name = relay_name(spec.name)
        with suppress(NotFound):
            api.remove_container(name, force=True, v=True)
        container_id = _created(api, relay_body(spec, self._slug), name)
        reached("relay.created")
        api.start(container_id)

    def name_of(self, container_id: str) -> str | None:
        """Of an agent that may have a relay."""
        if not self._in_use:
            return None
        try:
            return str(self._api().inspect_container(container_id)["Name"]).removeprefix("/")
        except NotFound:
            return None

    def end(self, agent: str, relay: str | None = None) -> None:
        """``relay``: its id, when another one may have taken its name."""
        api = self._api()
        with suppress(NotFound):
            api.remove_container(relay or relay_name(agent), force=True, v=True)
        self._drop_volume(volume_name(agent))

    def _drop_volume(self, name: str) -> None:
        # Refused while something uses it: then it is not left over.
        with suppress(APIError):
            self._api().remove_volume(name)

    # --- what has become of them ------------------------------------------------------------------

    def sort_out(self, entries: Iterable[Entry]) -> list[Entry]:
        """The agents among the containers; meanwhile relays are made to fit them."""
        found = list(entries)
        agents = {_name(entry): entry for entry in found if _agent_of(entry) is None}
        for entry in found:
            agent = _agent_of(entry)
            if agent is None:
                continue
            with suppress(*_ENGINE_ERRORS):
                if agent not in agents:
                    self.end(agent, str(entry["Id"]))
                elif _runs(agents[agent]) and not _runs(entry):
                    self._revive(str(entry["Id"]))
        if self._in_use:
            self._drop_volumes(frozenset(agents))
        return list(agents.values())

    def _drop_volumes(self, agents: frozenset[str]) -> None:
        label = f"{INSTALL_LABEL}={self._slug}"
        with suppress(*_ENGINE_ERRORS):
            answer = self._api().volumes(filters={"label": [label]})
            for volume in answer.get("Volumes") or ():
                agent = (volume.get("Labels") or {}).get(RELAY_LABEL)
                if agent is not None and agent not in agents:
                    self._drop_volume(volume["Name"])

    def on_died(self, container_id: str, agent: str) -> None:
        """An event's word; never raises."""
        last, now = self._revived.get(container_id), monotonic()
        if last is not None and now - last < REVIVE_SECONDS:
            return
        if len(self._revived) >= MAX_REMEMBERED:
            self._revived.clear()
        self._revived[container_id] = now
        with suppress(*_ENGINE_ERRORS):
            state = self._api().inspect_container(agent)["State"]["Status"]
            if run_state(state) is RunState.RUNNING:
                self._revive(container_id)

    def _revive(self, container_id: str) -> None:
        self._api().start(container_id)
        log.warning("relay started again", extra={"container": container_id[:12]})


def _created(api: docker.APIClient, body: Body, name: str | None) -> str:
    # The published types leave out the methods that take and give the API's own JSON.
    return str(api.create_container_from_config(body, name)["Id"])  # type: ignore[no-untyped-call]


def _agent_of(entry: Entry) -> str | None:
    labels = entry.get("Labels")
    name = labels.get(RELAY_LABEL) if isinstance(labels, dict) else None
    return name if isinstance(name, str) else None


def _name(entry: Entry) -> str:
    names = entry.get("Names")
    return str(names[0]).removeprefix("/") if isinstance(names, list) and names else ""


def _runs(entry: Entry) -> bool:
    return run_state(entry.get("State")) is RunState.RUNNING
