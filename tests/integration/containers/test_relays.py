"""Which way agents take, and relays kept in order, against an engine that is a double."""

from pathlib import Path
from typing import Any, cast

import docker
import pytest
from docker.errors import NotFound

from contract import layout
from nanoclaw.config import Network
from nanoclaw.containers.network import read_network
from nanoclaw.containers.relays import Doorway, Relays
from nanoclaw.containers.spec import MIB, ContainerSpec, Limits, Mount, UserMapping
from nanoclaw.errors import ContainerError
from nanoclaw.paths import HostPaths

AGENT = "nanoclaw-x-sess-1"


class Engine:
    """Answers as one that passes sockets or not; remembers what it was told."""

    def __init__(self, *, passes: bool, lookup: int = 0) -> None:
        self.codes = {"probe": 0 if passes else 1, "lookup": lookup}
        self.ran: list[str] = []
        self.done: list[tuple[str, str]] = []
        self.states: dict[str, str] = {}

    def info(self) -> dict[str, str]:
        return {"ID": "E1"}

    def containers(self, **_: object) -> list[dict[str, object]]:
        return []

    def create_container_from_config(self, body: dict[str, Any], _: object) -> dict[str, str]:
        self.ran.append(body["Cmd"][0])
        return {"Id": body["Cmd"][0]}

    def start(self, name: str) -> None:
        self.done.append(("start", name))

    def wait(self, name: str, **_: object) -> dict[str, int]:
        return {"StatusCode": self.codes[name]}

    def logs(self, name: str, **_: object) -> bytes:
        return b"172.17.0.1\n" if self.codes[name] == 0 else b"unknown host\n"

    def remove_container(self, name: str, **_: object) -> None:
        self.done.append(("remove", name))

    def remove_volume(self, name: str) -> None:
        self.done.append(("remove volume", name))

    def volumes(self, **_: object) -> dict[str, object]:
        return {"Volumes": None}

    def inspect_container(self, name: str) -> dict[str, object]:
        if name not in self.states:
            raise NotFound("no such container")
        return {"State": {"Status": self.states[name]}, "Name": f"/{name}"}


def paths_in(folder: Path) -> HostPaths:
    paths = HostPaths(folder)
    paths.ensure()
    return paths


def relays(engine: Engine, paths: HostPaths, setting: Network = Network.AUTO) -> Relays:
    return Relays(lambda: cast("docker.APIClient", engine), Doorway(paths, setting))


def spec(*, image: str = "sha256:1", door: bool = True) -> ContainerSpec:
    mounts = [Mount(Path("/h/app"), layout.MOUNT_APP, read_only=True)]
    if door:
        mounts.append(Mount(Path("/h/d"), layout.MOUNT_DOOR, read_only=True))
    return ContainerSpec(
        name=AGENT,
        image=image,
        user=UserMapping(1000, 1000, hand_over=True),
        environment=(),
        mounts=tuple(mounts),
        tmpfs=(),
        labels=(),
        limits=Limits(512 * MIB, 0.5, 64, file_bytes=1000, disk_bytes=2000),
        log_file=Path("/h/log"),
    )


def listed(name: str, state: str, agent: str | None = None) -> dict[str, object]:
    labels = {} if agent is None else {"nanoclaw-relay": agent}
    return {"Id": f"id-of-{name}", "Names": [f"/{name}"], "State": state, "Labels": labels}


@pytest.mark.parametrize(
    ("passes", "way", "address"), [(True, "socket", ""), (False, "relay", "172.17.0.1")]
)
def test_engine_is_tried_out(tmp_path: Path, passes: bool, way: str, address: str) -> None:
    paths = paths_in(tmp_path)

    assert relays(Engine(passes=passes), paths).needed_for(spec()) is not passes

    facts = read_network(paths)
    assert facts is not None
    assert (facts.way, facts.address) == (way, address)
    assert list(paths.doors.iterdir()) == []


def test_engine_is_tried_out_once_also_over_a_restart(tmp_path: Path) -> None:
    engine, paths = Engine(passes=False), paths_in(tmp_path)
    first = relays(engine, paths)

    assert first.needed_for(spec())
    assert first.needed_for(spec())
    assert relays(engine, paths).needed_for(spec())
    assert engine.ran == ["probe", "lookup"]

    assert relays(engine, paths).needed_for(spec(image="sha256:2"))
    assert engine.ran == ["probe", "lookup"] * 2


@pytest.mark.parametrize(("setting", "ran"), [(Network.SOCKET, []), (Network.RELAY, ["lookup"])])
def test_setting_leaves_nothing_to_try(tmp_path: Path, setting: Network, ran: list[str]) -> None:
    engine = Engine(passes=setting is Network.RELAY)

    needed = relays(engine, paths_in(tmp_path), setting).needed_for(spec())

    assert needed is (setting is Network.RELAY)
    assert engine.ran == ran


def test_agent_without_a_door_asks_for_nothing(tmp_path: Path) -> None:
    engine = Engine(passes=False)

    assert not relays(engine, paths_in(tmp_path)).needed_for(spec(door=False))
    assert engine.ran == []


def test_host_that_cannot_be_found_is_said_and_not_remembered(tmp_path: Path) -> None:
    engine, paths = Engine(passes=False, lookup=1), paths_in(tmp_path)

    with pytest.raises(ContainerError, match="cannot find the host: unknown host"):
        relays(engine, paths).needed_for(spec())

    assert read_network(paths) is None
    assert ("remove", "lookup") in engine.done


def test_relay_without_an_agent_is_removed_with_its_volume(tmp_path: Path) -> None:
    engine = Engine(passes=True)
    agent = listed(AGENT, "running")
    left = listed("nanoclaw-x-sess-2-relay", "running", "nanoclaw-x-sess-2")
    own = listed(f"{AGENT}-relay", "running", AGENT)

    agents = relays(engine, paths_in(tmp_path)).sort_out([left, agent, own])

    assert agents == [agent]
    assert engine.done == [
        ("remove", "id-of-nanoclaw-x-sess-2-relay"),
        ("remove volume", "nanoclaw-x-sess-2-door"),
    ]


@pytest.mark.parametrize(("agent", "relay", "done"), [
    ("running", "exited", [("start", f"id-of-{AGENT}-relay")]),
    ("running", "running", []),
    ("exited", "exited", []),
    ("created", "created", []),
])  # fmt: skip
def test_relay_lives_as_long_as_its_agent(
    tmp_path: Path, agent: str, relay: str, done: list[tuple[str, str]]
) -> None:
    engine = Engine(passes=True)

    relays(engine, paths_in(tmp_path)).sort_out(
        [listed(AGENT, agent), listed(f"{AGENT}-relay", relay, AGENT)]
    )

    assert engine.done == done


def test_relay_that_keeps_dying_is_not_started_without_a_pause(tmp_path: Path) -> None:
    engine = Engine(passes=True)
    engine.states[AGENT] = "running"
    made = relays(engine, paths_in(tmp_path))

    made.on_died("r1", AGENT)
    made.on_died("r1", AGENT)
    made.on_died("r2", "nanoclaw-x-gone")

    assert engine.done == [("start", "r1")]


def test_relay_of_an_earlier_host_goes_with_its_agent(tmp_path: Path) -> None:
    engine, paths = Engine(passes=False), paths_in(tmp_path)
    engine.states[AGENT] = "exited"

    assert relays(engine, paths).name_of(AGENT) is None
    assert relays(engine, paths).needed_for(spec())
    assert relays(engine, paths).name_of(AGENT) == AGENT
    assert relays(engine, paths).name_of("nanoclaw-x-gone") is None
