from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import layout
from nanoclaw.containers.docker_body import compile_body, container_body, found_in, run_state
from nanoclaw.containers.runtime import Found, RunState
from nanoclaw.containers.spec import MIB, ContainerSpec, Limits, Mount, Tmpfs, UserMapping

SPEC = ContainerSpec(
    name="nanoclaw-x-sess-1",
    image="sha256:1",
    user=UserMapping(12345, 678, hand_over=False),
    environment=(("TZ", "UTC"),),
    mounts=(
        Mount(Path("/h/in"), layout.MOUNT_IN, read_only=True),
        Mount(Path("/h/out"), layout.MOUNT_OUT, read_only=False),
    ),
    tmpfs=(Tmpfs("/tmp", 256 * MIB, executable=True), Tmpfs("/run", MIB, executable=False)),
    labels=(("nanoclaw-session", "sess-1"),),
    limits=Limits(512 * MIB, 0.5, 64, file_bytes=1000, disk_bytes=2000),
    log_file=Path("/h/log"),
)


def host_config() -> dict[str, Any]:
    config = container_body(SPEC, 4)["HostConfig"]
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NetworkMode", "none"),
        ("ReadonlyRootfs", True),
        ("CapDrop", ["ALL"]),
        ("SecurityOpt", ["no-new-privileges:true"]),
        ("Privileged", False),
        ("AutoRemove", False),
        ("RestartPolicy", {"Name": "no"}),
        ("Memory", 512 * MIB),
        ("MemorySwap", 512 * MIB),
        ("NanoCpus", 500_000_000),
        ("PidsLimit", 64),
    ],
)
def test_container_is_hardened(key: str, value: object) -> None:
    assert host_config()[key] == value


@pytest.mark.parametrize(("there", "given"), [(1, 1.0), (2, 2.0), (64, 8.0)])
def test_no_more_processors_are_asked_for_than_the_engine_has(there: int, given: float) -> None:
    spec = replace(SPEC, limits=replace(SPEC.limits, cpus=8.0))

    config = container_body(spec, there)["HostConfig"]

    assert isinstance(config, dict)
    assert config["NanoCpus"] == given * 1_000_000_000


def test_default_seccomp_profile_is_left_in_place() -> None:
    assert not any("seccomp" in option for option in host_config()["SecurityOpt"])


def test_files_and_core_dumps_are_limited() -> None:
    limits = {entry["Name"]: (entry["Soft"], entry["Hard"]) for entry in host_config()["Ulimits"]}

    assert limits["fsize"] == (1000, 1000)
    assert limits["core"] == (0, 0)
    assert limits["nofile"][1] > 0


def test_temporary_folders_are_in_memory_and_bounded() -> None:
    assert host_config()["Tmpfs"] == {
        "/tmp": f"rw,exec,nosuid,nodev,size={256 * MIB},nr_inodes=65536,mode=1777",
        "/run": f"rw,noexec,nosuid,nodev,size={MIB},nr_inodes=256,mode=1777",
    }


def test_t55_mounts_say_read_only_or_not_and_fail_without_their_source() -> None:
    mounts = host_config()["Mounts"]

    assert [(m["Type"], m["Source"], m["Target"], m["ReadOnly"]) for m in mounts] == [
        ("bind", "/h/in", "/session/in", True),
        ("bind", "/h/out", "/session/out", False),
    ]


def test_folders_of_the_operator_are_mounted_like_ours() -> None:
    extra = Mount(Path("/photos"), "/workspace/extra/photos", read_only=True)

    mounts = container_body(replace(SPEC, extra_mounts=(extra,)), 4)["HostConfig"]

    assert isinstance(mounts, dict)
    assert (mounts["Mounts"][-1]["Source"], mounts["Mounts"][-1]["ReadOnly"]) == ("/photos", True)


def test_runs_as_the_mapped_user_with_nothing_attached() -> None:
    body = container_body(SPEC, 4)

    assert body["User"] == "12345:678"
    assert body["OpenStdin"] is body["Tty"] is body["AttachStdout"] is False


def test_output_of_a_container_is_bounded() -> None:
    config = host_config()["LogConfig"]

    assert int(config["Config"]["max-size"]) * int(config["Config"]["max-file"]) <= 4 * MIB


def test_compiling_sees_our_code_and_nothing_else() -> None:
    app = Mount(Path("/h/runtime/v"), layout.MOUNT_APP, read_only=False)
    body = compile_body("sha256:1", app, "0:0", ("nanoclaw-install", "x"))

    config = body["HostConfig"]
    assert isinstance(config, dict)
    assert [mount["Target"] for mount in config["Mounts"]] == ["/app"]
    assert (config["NetworkMode"], config["CapDrop"]) == ("none", ["ALL"])


def test_listed_container_is_read_by_its_labels() -> None:
    entry = {
        "Id": "abc",
        "Names": ["/nanoclaw-x-sess-1"],
        "State": "running",
        "Labels": {
            "nanoclaw-session": "sess-1", "nanoclaw-runtime": "v1", "nanoclaw-lease": "12"
        },
    }  # fmt: skip

    expected = Found("abc", "nanoclaw-x-sess-1", RunState.RUNNING, "sess-1", "v1", 12)

    assert found_in(entry) == expected


@pytest.mark.parametrize("labels", [None, {}, {"nanoclaw-lease": "many"}, {"nanoclaw-session": ""}])
def test_container_without_our_labels_belongs_to_no_session(labels: object) -> None:
    found = found_in({"Id": "abc", "Names": [], "State": "exited", "Labels": labels})

    assert (found.session_id, found.lease) == (None, None)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("created", RunState.CREATED),
        ("running", RunState.RUNNING),
        ("paused", RunState.RUNNING),
        ("exited", RunState.EXITED),
        ("dead", RunState.EXITED),
        ("removing", RunState.EXITED),
        (None, RunState.EXITED),
    ],
)
def test_words_of_the_engine_become_three_states(word: object, state: RunState) -> None:
    assert run_state(word) is state
