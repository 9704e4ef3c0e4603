from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from contract import layout
from nanoclaw.containers.spec import (
    DEFAULT_CPUS,
    MIB,
    ContainerSpec,
    Folders,
    Mount,
    SpecFacts,
    UserMapping,
    build_spec,
    container_name,
    decide_limits,
    decide_user,
    session_limits,
)
from nanoclaw.errors import ConfigError
from nanoclaw.model import (
    AgentGroup,
    ContainerConfig,
    ContainerStatus,
    Session,
    SessionMode,
    SessionStatus,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GROUP = AgentGroup("ag-1", "Andy", "main", NOW)
CONFIG = ContainerConfig("ag-1", NOW)
SESSION = Session(
    id="sess-1",
    agent_group_id="ag-1",
    messaging_group_id=None,
    thread_id=None,
    agent_provider=None,
    status=SessionStatus.ACTIVE,
    container_status=ContainerStatus.STOPPED,
    last_active=None,
    created_at=NOW,
    session_key="k",
    mode=SessionMode.SHARED,
    lease_owner=None,
    lease_token=6,
    lease_expires_at=None,
    next_due_at=None,
    due_epoch=0,
    out_dirty=False,
    out_seq=0,
    container_id=None,
    container_started_at=None,
    runtime_version=None,
    quarantined_at=None,
    quarantine_reason=None,
    deaths=0,
    container_retry_at=None,
    container_failures=0,
    container_error=None,
)


def spec(
    config: ContainerConfig = CONFIG,
    *,
    global_dir: Path | None = None,
    door: Path | None = None,
    passed_on: tuple[tuple[str, str], ...] = (),
    extra_mounts: tuple[Mount, ...] = (),
) -> ContainerSpec:
    folders = Folders(
        in_dir=Path("/h/s/in"),
        out_dir=Path("/h/s/out"),
        group=Path("/h/groups/main"),
        home=Path("/h/s/home"),
        app=Path("/h/runtime/v1"),
        log_file=Path("/h/logs/sess-1.log"),
        global_dir=global_dir,
        door=door,
    )
    return build_spec(
        SpecFacts(
            slug="0badcafe",
            session=SESSION,
            group=GROUP,
            config=config,
            image="sha256:1",
            lease=7,
            runtime_version="v1",
            folders=folders,
            user=UserMapping(1000, 1000, hand_over=True),
            timezone="Europe/Berlin",
            passed_on=passed_on,
            extra_mounts=extra_mounts,
        )
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param((0, 0), UserMapping(1000, 1000, hand_over=True), id="root hands over"),
        pytest.param((1000, 1000), UserMapping(1000, 1000, hand_over=False), id="the same user"),
        pytest.param((501, 20), UserMapping(501, 20, hand_over=False), id="any other user"),
    ],
)
def test_agent_never_runs_as_root(host: tuple[int, int], expected: UserMapping) -> None:
    assert decide_user(*host) == expected


def test_labels_say_whose_container_it_is() -> None:
    assert dict(spec().labels) == {
        "nanoclaw-install": "0badcafe",
        "nanoclaw-group": "ag-1",
        "nanoclaw-session": "sess-1",
        "nanoclaw-runtime": "v1",
        "nanoclaw-lease": "7",
    }


def test_name_is_the_same_at_every_start() -> None:
    assert spec().name == container_name("0badcafe", "sess-1") == "nanoclaw-0badcafe-sess-1"


def test_only_the_agents_own_folders_are_writable() -> None:
    made = spec(global_dir=Path("/h/groups/global"), door=Path("/h/run/d/1"))

    writable = {mount.target for mount in made.mounts if not mount.read_only}

    assert writable == {layout.MOUNT_OUT, layout.MOUNT_WORKSPACE, layout.MOUNT_HOME}


def test_nothing_is_mounted_inside_a_writable_mount() -> None:
    made = spec(global_dir=Path("/h/groups/global"), door=Path("/h/run/d/1"))

    for outer in made.mounts:
        for inner in made.mounts:
            nested = PurePosixPath(outer.target) in PurePosixPath(inner.target).parents
            assert outer.read_only or not nested, f"{inner.target} in {outer.target}"


@pytest.mark.parametrize("target", [layout.MOUNT_GLOBAL, layout.MOUNT_DOOR])
def test_optional_mounts_are_absent_without_their_folder(target: str) -> None:
    made = spec()

    assert made.source_of(target) is None


def test_environment_holds_what_is_needed_and_nothing_else() -> None:
    made = spec(passed_on=(("NANOCLAW_WATCH", "polling"),))

    assert dict(made.environment) == {
        "TZ": "Europe/Berlin",
        "HOME": "/home/node",
        "PYTHONPATH": "/app",
        "NANOCLAW_WATCH": "polling",
    }


def test_temporary_folders_are_small_and_only_tmp_may_run_programs() -> None:
    made = spec()

    assert {(t.target, t.executable) for t in made.tmpfs} == {("/tmp", True), ("/run", False)}
    assert max(t.size_bytes for t in made.tmpfs) == 256 * MIB


def test_full_temporary_folder_leaves_most_of_a_small_memory() -> None:
    made = spec(ContainerConfig("ag-1", NOW, memory_mb=64))

    assert max(t.size_bytes for t in made.tmpfs) == 16 * MIB


def test_groups_own_limits_count() -> None:
    config = ContainerConfig("ag-1", NOW, memory_mb=512, cpus=0.5, pids_limit=64, disk_mb=100)

    limits = decide_limits(config)

    assert (limits.memory_bytes, limits.cpus, limits.pids) == (512 * MIB, 0.5, 64)
    assert limits.disk_bytes == 100 * MIB


def test_there_are_limits_without_any_setting() -> None:
    limits = spec().limits

    assert limits.cpus == DEFAULT_CPUS
    assert min(limits.memory_bytes, limits.pids, limits.file_bytes, limits.disk_bytes) > 0


def test_runner_learns_the_limits_it_keeps_itself_to() -> None:
    config = ContainerConfig("ag-1", NOW, disk_mb=100, max_turn_seconds=90)

    limits = session_limits(decide_limits(config), config)

    assert (limits.disk_bytes, limits.turn_seconds) == (100 * MIB, 90)


def test_image_is_the_one_that_was_chosen_for_the_group() -> None:
    assert spec(ContainerConfig("ag-1", NOW, image_tag="stored:1")).image == "sha256:1"


@pytest.mark.parametrize("session_id", ["sess-1; rm -rf /", "a b", "$(id)", "../x", "s\n", "é"])
def test_t55_name_with_other_characters_is_refused_before_anything_runs(session_id: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a container's name"):
        container_name("0badcafe", session_id)


def test_folders_of_the_operator_stand_apart_from_the_agents_own() -> None:
    """Nobody hands them over to the agent's user or counts what lies in them."""
    extra = Mount(Path("/photos"), "/workspace/extra/photos", read_only=False)

    made = spec(extra_mounts=(extra,))

    assert made.extra_mounts == (extra,)
    assert extra not in made.mounts
