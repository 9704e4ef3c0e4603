"""Containers in a Docker engine: the only module that imports the Docker SDK.

Implements ``runtime.Runtime`` and what ``image`` needs. Imported with the first container, because
the SDK is heavy. One connection per thread, kept open: that saves a millisecond per call. Nothing
that the SDK raises leaves this module; callers see the classes of ``runtime``.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from contract.clock import utc_now
from nanoclaw.containers.docker_body import compile_body, container_body, found_in, run_state
from nanoclaw.containers.engine_ping import has_name, ping, version_pair
from nanoclaw.containers.relay_body import RELAY_LABEL
from nanoclaw.containers.relays import Doorway, Relays
from nanoclaw.containers.runtime import (
    Died,
    EngineDown,
    ExitReport,
    Found,
    ImageMissing,
    Listening,
    NameTaken,
    RunState,
    RuntimeEvent,
)
from nanoclaw.containers.spec import COMPILER_LABEL, INSTALL_LABEL, ContainerSpec, Mount
from nanoclaw.errors import ContainerError

CALL_SECONDS = 60
LOG_TAIL_LINES = 2000
COMPILE_SECONDS = 60
EVENT_OVERLAP_SECONDS = 5
BUILD_STALL_SECONDS = 600
"""A build that prints nothing for so long hangs; the whole build has its own limit."""

Lines = Iterator[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """One image build. ``context`` is a tar file."""

    context: IO[bytes]
    tag: str
    labels: Mapping[str, str]
    arguments: Mapping[str, str]


class DockerRuntime:
    """One engine, one installation."""

    def __init__(
        self, address: str, api_version: str, slug: str, doorway: Doorway | None = None
    ) -> None:
        self._address = address
        newest = DEFAULT_DOCKER_API_VERSION
        self._version = min(api_version, newest, key=version_pair)
        self._label = (INSTALL_LABEL, slug)
        self._threads = threading.local()
        self._cpus: int | None = None
        self._relays = None if doorway is None else Relays(self._api, doorway)

    @classmethod
    def connect(cls, address: str, slug: str) -> "DockerRuntime":
        """Asks for the engine's version first; raises EngineDown."""
        return cls(address, ping(address).api_version, slug)

    # --- containers -------------------------------------------------------------------------------

    def start(self, spec: ContainerSpec) -> str:
        with _translated():
            body = container_body(spec, self._engine_cpus())
            relays = self._relays
            if relays is None or not relays.needed_for(spec):
                relays = None
            else:
                body = relays.agent_body(body, spec)
            container_id = self._create(body, spec.name)
            try:
                if relays is not None:
                    relays.start(spec)
                self._api().start(container_id)
            except (APIError, RequestException):
                self._discard(container_id)
                raise
        return container_id

    def _create(self, body: dict[str, object], name: str) -> str:
        api = self._api()
        try:
            return _created(api, body, name)
        except NotFound as error:
            raise ImageMissing(_text(error)) from error
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
        # The name is the session's: either a dead predecessor, or somebody works on it already.
        old = api.inspect_container(name)
        if run_state(old["State"]["Status"]) is RunState.RUNNING:
            raise NameTaken(str(old["Id"]))
        api.remove_container(str(old["Id"]), force=True)
        return _created(api, body, name)

    def _engine_cpus(self) -> int:
        """Asked once: an engine with other processors is another engine, or a new connection."""
        if self._cpus is None:
            self._cpus = max(1, int(self._api().info()["NCPU"]))
        return self._cpus

    def _discard(self, container_id: str) -> None:
        # If this fails too, the next start of the session finds the dead one and removes it.
        with suppress(ContainerError):
            self.remove(container_id)

    def stop(self, container_id: str, grace_seconds: int) -> None:
        with _translated(missing_is_fine=True):
            self._api().stop(container_id, timeout=grace_seconds)

    def list_containers(self) -> list[Found]:
        with _translated():
            entries = self._api().containers(all=True, filters={"label": ["=".join(self._label)]})
            if self._relays is not None:
                entries = self._relays.sort_out(entries)
        return [found_in(entry) for entry in entries]

    def read_exit(self, container_id: str) -> ExitReport:
        with _translated():
            api = self._api()
            try:
                state = api.inspect_container(container_id)["State"]
            except NotFound:
                return ExitReport(None, detail="the container is gone")
            try:
                tail = api.logs(container_id, tail=LOG_TAIL_LINES)
            except APIError:
                tail = b""  # somebody is removing it just now; how it ended is known
        return ExitReport(
            code=int(state["ExitCode"]),
            out_of_memory=bool(state.get("OOMKilled")),
            detail=str(state.get("Error") or ""),
            log_tail=tail,
        )

    def remove(self, container_id: str) -> None:
        with _translated(missing_is_fine=True):
            agent = self._relays.name_of(container_id) if self._relays is not None else None
            try:
                self._api().remove_container(container_id, force=True, v=True)
            finally:
                if agent is not None and self._relays is not None:
                    self._relays.end(agent)

    def events(self) -> Iterator[RuntimeEvent]:
        filters = {"type": ["container"], "event": ["die"], "label": ["=".join(self._label)]}
        with _translated():
            # The engine answers before it has subscribed us. What happens in between is in its
            # memory, and is told because we ask for it; a death told twice changes nothing.
            since = int(utc_now().timestamp()) - EVENT_OVERLAP_SECONDS
            stream = self._new_api(seconds=None).events(since=since, filters=filters, decode=True)
            yield Listening()
            for event in stream:
                agent = event.get("Actor", {}).get("Attributes", {}).get(RELAY_LABEL)
                if agent is None:
                    yield Died(str(event.get("id", "")))
                elif self._relays is not None:
                    self._relays.on_died(str(event.get("id", "")), agent)

    def close(self) -> None:
        """Connections end with their threads; an agent outlives its host on purpose."""

    def compile_code(self, image: str, app: Mount, user: str) -> None:
        """Has the image's Python compile what lies in ``app``; raises ContainerError."""
        # A label of its own: the sweep removes what carries the agents' label and is no agent.
        label = (COMPILER_LABEL, self._label[1])
        with _translated():
            api = self._api()
            for left in api.containers(all=True, filters={"label": ["=".join(label)]}):
                api.remove_container(left["Id"], force=True, v=True)
            body = compile_body(image, app, user, label)
            container_id = _created(api, body, None)
            try:
                api.start(container_id)
                status = api.wait(container_id, timeout=COMPILE_SECONDS)["StatusCode"]
                log = api.logs(container_id, tail=20) if status else b""
            finally:
                api.remove_container(container_id, force=True, v=True)
        if status:
            raise ContainerError(f"the runner's code does not compile: {log.decode('replace')}")

    # --- images -----------------------------------------------------------------------------------

    def find_image(self, label: str) -> str | None:
        """Id of an image with a name that carries the label ``name=value``."""
        with _translated():
            images = self._api().images(filters={"label": [label]})
        return next((str(image["Id"]) for image in images if has_name(image)), None)

    def prune_images(self, label: str) -> None:
        """Removes what builds have left: images without a name that carry the label."""
        with _translated():
            self._api().prune_images(  # type: ignore[no-untyped-call]  # as above
                filters={"dangling": True, "label": [label]}
            )

    def find_image_by_name(self, name: str) -> str | None:
        with _translated():
            try:
                return str(_image_facts(self._api(), name)["Id"])
            except NotFound:
                return None

    def image_size(self, name: str) -> int:
        with _translated():
            return int(str(_image_facts(self._api(), name)["Size"]))

    def tag_image(self, image_id: str, tag: str) -> None:
        repository, _, version = tag.rpartition(":")
        with _translated():
            self._api().tag(image_id, repository, version)

    def tags_of(self, repository: str) -> list[str]:
        """All our names in one repository."""
        with _translated():
            images = self._api().images(name=repository)
        return [tag for image in images for tag in image.get("RepoTags") or ()]

    def untag_image(self, tag: str) -> None:
        """Takes a name away; the image goes with its last one, unless a container uses it."""
        with _translated(missing_is_fine=True):
            try:
                self._api().remove_image(tag)
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise

    def build(self, order: BuildOrder) -> Lines:
        """Lines of the engine's JSON answer as they come; a failed step is one of them."""
        with _translated():
            yield from self._new_api(BUILD_STALL_SECONDS).build(
                fileobj=order.context,
                custom_context=True,
                tag=order.tag,
                labels=dict(order.labels),
                buildargs=dict(order.arguments),
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
            )

    def pull(self, name: str) -> Lines:
        repository, _, version = name.rpartition(":")
        with _translated():
            yield from self._new_api(BUILD_STALL_SECONDS).pull(
                repository or name, tag=version if repository else "latest",
                stream=True, decode=True,
            )  # fmt: skip

    # --- connections ------------------------------------------------------------------------------

    def _api(self) -> docker.APIClient:
        """This thread's connection."""
        api: docker.APIClient | None = getattr(self._threads, "api", None)
        if api is None:
            api = self._threads.api = self._new_api(CALL_SECONDS)
        return api

    def _new_api(self, seconds: int | None) -> docker.APIClient:
        return docker.APIClient(
            base_url=self._address, version=self._version, timeout=seconds or CALL_SECONDS
        )


def _created(api: docker.APIClient, body: dict[str, object], name: str | None) -> str:
    # The published types leave out the methods that take and give the API's own JSON.
    return str(api.create_container_from_config(body, name)["Id"])  # type: ignore[no-untyped-call]


def _image_facts(api: docker.APIClient, name: str) -> Mapping[str, object]:
    facts: Mapping[str, object] = api.inspect_image(name)  # type: ignore[no-untyped-call]
    return facts


@contextmanager
def _translated(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Whatever the SDK or its transport raises becomes a ContainerError."""
    try:
        yield
    except NotFound as error:
        if not missing_is_fine:
            raise ContainerError(_text(error)) from error
    except APIError as error:
        raise ContainerError(_text(error)) from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise EngineDown(f"the container engine does not answer: {_text(error)}") from error


def _text(error: Exception) -> str:
    if isinstance(error, APIError) and error.explanation:
        return str(error.explanation)
    return str(error) or type(error).__name__
