import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import layout
from nanoclaw.containers.docker_body import container_body
from nanoclaw.containers.network import (
    NetworkFacts,
    door_text,
    network_file,
    read_network,
    write_network,
)
from nanoclaw.containers.relay_body import (
    RELAY_LABEL,
    lookup_body,
    probe_body,
    relay_body,
    through_volume,
)
from nanoclaw.containers.spec import MIB, ContainerSpec, Limits, Mount, UserMapping
from nanoclaw.paths import HostPaths

APP, DOOR = Path("/h/app"), Path("/h/run/d/0a1b2c3d")
SPEC = ContainerSpec(
    name="nanoclaw-x-sess-1",
    image="sha256:1",
    user=UserMapping(1000, 1000, hand_over=True),
    environment=(("TZ", "UTC"),),
    mounts=(
        Mount(APP, layout.MOUNT_APP, read_only=True),
        Mount(Path("/h/out"), layout.MOUNT_OUT, read_only=False),
        Mount(DOOR, layout.MOUNT_DOOR, read_only=True),
    ),
    tmpfs=(),
    labels=(("nanoclaw-session", "sess-1"),),
    limits=Limits(512 * MIB, 0.5, 64, file_bytes=1000, disk_bytes=2000),
    log_file=Path("/h/log"),
    extra_mounts=(Mount(Path("/srv"), "/workspace/extra/srv", read_only=True),),
)
FACTS = NetworkFacts("relay", "set by network", "relay", "E1", "sha256:1", "172.17.0.1")


def host_of(body: Any) -> dict[str, Any]:
    config: dict[str, Any] = body["HostConfig"]
    return config


def by_target(body: Any) -> dict[str, dict[str, Any]]:
    return {mount["Target"]: mount for mount in host_of(body)["Mounts"]}


def test_agent_gets_the_volume_in_the_place_of_the_folder_and_still_no_network() -> None:
    plain = container_body(SPEC, 4)
    body = through_volume(plain, SPEC, "x")

    mounts, before = by_target(body), by_target(plain)
    door = mounts.pop(layout.MOUNT_DOOR)
    before.pop(layout.MOUNT_DOOR)
    assert mounts == before
    assert (door["Type"], door["ReadOnly"]) == ("volume", True)
    assert host_of(body)["NetworkMode"] == "none"
    assert str(DOOR) not in json.dumps(body)
    assert {**host_of(body), "Mounts": 0} == {**host_of(plain), "Mounts": 0}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NetworkMode", "bridge"),
        ("ReadonlyRootfs", True),
        ("CapDrop", ["ALL"]),
        ("SecurityOpt", ["no-new-privileges:true"]),
        ("Privileged", False),
        ("PidsLimit", 16),
        ("ExtraHosts", ["nanoclaw-host:host-gateway"]),
    ],
)
def test_relay_is_hardened_and_has_a_network(key: str, value: object) -> None:
    assert host_of(relay_body(SPEC, "x"))[key] == value


def test_relay_sees_our_code_its_doors_file_and_the_volume_and_nothing_else() -> None:
    body = relay_body(SPEC, "x")

    mounts = by_target(body)

    assert set(mounts) == {layout.MOUNT_APP, layout.MOUNT_RELAY, layout.MOUNT_DOOR}
    assert (mounts[layout.MOUNT_APP]["Source"], mounts[layout.MOUNT_APP]["ReadOnly"]) == (
        str(APP),
        True,
    )
    assert (mounts[layout.MOUNT_RELAY]["Source"], mounts[layout.MOUNT_RELAY]["ReadOnly"]) == (
        str(DOOR),
        True,
    )
    assert mounts[layout.MOUNT_DOOR]["ReadOnly"] is False
    assert body["User"] == "65532:65532"
    assert body["Labels"] == {"nanoclaw-install": "x", RELAY_LABEL: SPEC.name}


def test_both_name_the_same_volume_which_is_small_and_in_memory() -> None:
    inside = by_target(relay_body(SPEC, "x"))[layout.MOUNT_DOOR]
    agent = by_target(through_volume(container_body(SPEC, 4), SPEC, "x"))[layout.MOUNT_DOOR]

    assert {**inside, "ReadOnly": 0} == {**agent, "ReadOnly": 0}
    options = inside["VolumeOptions"]["DriverConfig"]["Options"]
    assert options["type"] == "tmpfs"
    assert options["o"] == "size=65536,nr_inodes=16,uid=65532,mode=0711"


def test_two_agents_share_no_volume() -> None:
    other = replace(SPEC, name="nanoclaw-x-sess-2")

    sources = {by_target(relay_body(spec, "x"))[layout.MOUNT_DOOR]["Source"]
               for spec in (SPEC, other)}  # fmt: skip

    assert len(sources) == 2


def test_probe_has_an_agents_network_and_is_not_taken_for_an_agent() -> None:
    body = probe_body("sha256:1", APP, DOOR, "x")

    assert host_of(body)["NetworkMode"] == "none"
    assert by_target(body)[layout.MOUNT_RELAY]["Source"] == str(DOOR)
    assert body["Labels"] == {"nanoclaw-probe": "x"}


def test_lookup_has_a_relays_network() -> None:
    found, relay = lookup_body("sha256:1", APP, "x"), relay_body(SPEC, "x")

    for key in ("NetworkMode", "ExtraHosts"):
        assert host_of(found)[key] == host_of(relay)[key]


def test_what_was_found_out_is_read_back(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path)
    paths.ensure()
    write_network(paths, FACTS)

    assert read_network(paths) == FACTS
    assert door_text(FACTS) == "relay (set by network)"
    assert FACTS.holds_for("relay", "E1", "sha256:1")


@pytest.mark.parametrize("other", [("auto", "E1", "sha256:1"), ("relay", "E2", "sha256:1"),
                                   ("relay", "E1", "sha256:2")])  # fmt: skip
def test_another_setting_engine_or_image_is_found_out_anew(other: tuple[str, str, str]) -> None:
    assert not FACTS.holds_for(*other)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nonsense", '{"way": 1}', "[" * 5000,
     '{"way":"tcp","why":"","setting":"","engine":"","image":""}',
     '{"way":"relay","why":"","setting":"","engine":"","image":"","address":7}'],
)  # fmt: skip
def test_file_without_sense_is_no_answer(tmp_path: Path, text: str) -> None:
    paths = HostPaths(tmp_path)
    paths.ensure()
    network_file(paths).write_text(text)

    assert read_network(paths) is None
    assert door_text(None) == ""
