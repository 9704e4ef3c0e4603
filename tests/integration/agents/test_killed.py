"""Whoever carries a change out is killed at every step; the next one ends with the same result."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.agents_child import carry_out
from helpers.agents_scene import Scene
from helpers.kill_points import KillFolder

from contract.jsontext import dump
from nanoclaw.agents.install import BuildRequest, request_build
from nanoclaw.containers.packages import PackageSet
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import Effect


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.run("sess-a")
    yield made
    made.close()


@pytest.fixture
def kill(tmp_path: Path) -> KillFolder:
    (tmp_path / "kill").mkdir()
    return KillFolder(tmp_path / "kill")


def message(scene: Scene) -> Effect:
    scene.out_file(scene.a, "m1", "a.txt", b"data")
    return scene.message(scene.a, "ag-b", {"text": "t", "files": ["a.txt"]}, id="m1")


def agent(scene: Scene) -> Effect:
    change = ContainerConfigChange(agents_quota=1)
    container_configs.update(scene.conn, "ag-a", change, scene.now)
    content = {"action": "create_agent", "requestId": "r", "name": "Kid", "instructions": "Play."}
    return scene.action(scene.a, content)


def server(scene: Scene) -> Effect:
    content = {"action": "add_mcp_server", "name": "calc", "command": "c", "args": [], "env": {}}
    return scene.record(scene.a, "add_mcp_server", dump(content), "approved")


def packages(scene: Scene) -> Effect:
    build = BuildRequest("ag-a", PackageSet.of(["jq"]), session_id="sess-a")
    with transaction(scene.conn):
        request_build(scene.conn, build, "agent:ag-a", ("approved", scene.now))
    return scene.effect("build/approved")


def approved_packages(scene: Scene) -> Effect:
    content = {"action": "install_packages", "apt": ["jq"], "npm": []}
    return scene.record(scene.a, "install_packages", dump(content), "approved")


def request_for_packages(scene: Scene) -> Effect:
    content = {"action": "install_packages", "apt": ["jq"], "npm": [], "reason": "r"}
    return scene.action(scene.a, content)


def request_for_server(scene: Scene) -> Effect:
    content = {"action": "add_mcp_server", "name": "calc", "command": "c", "args": [], "env": {}}
    return scene.action(scene.a, content)


def request_for_agent(scene: Scene) -> Effect:
    content = {"action": "create_agent", "requestId": "r", "name": "Kid", "instructions": None}
    return scene.action(scene.a, content)


CASES: list[tuple[str, Callable[[Scene], Effect]]] = [
    ("host.agent_files_copied", message),
    ("host.agent_message_written", message),
    ("host.agent_message_marked", message),
    ("host.agent_created", agent),
    ("host.agent_folder_made", agent),
    ("host.agent_connected", agent),
    ("host.destinations_refreshed", agent),
    ("host.note_written", agent),
    ("host.server_stored", server),
    ("host.note_written", server),
    ("host.restart_prepared", server),
    ("host.packages_stored", packages),
    ("host.note_written", packages),
    ("host.restart_prepared", packages),
    ("host.build_requested", approved_packages),
    ("host.packages_requested", request_for_packages),
    ("host.server_requested", request_for_server),
    ("host.agent_requested", request_for_agent),
]


def state(scene: Scene) -> dict[str, object]:
    """What counts, without ids and times."""
    config = scene.config_of("ag-a")
    return {
        "agents": sorted(group.name for group in agent_groups.list_all(scene.conn)),
        "destinations": scene.rows(
            "SELECT local_name, count(*) FROM agent_destinations GROUP BY 1 ORDER BY 1"
        ),
        "servers": sorted(config.mcp_servers),
        "packages": (config.packages_apt, config.image_tag),
        "notes": len(scene.inbox(scene.a)),
        "arrived": [
            len(scene.inbox(scene.session(str(row[0]))))
            for row in scene.rows("SELECT id FROM sessions WHERE agent_group_id = 'ag-b'")
        ],
        "audit": scene.rows("SELECT kind, count(*) FROM audit GROUP BY 1 ORDER BY 1"),
        "pending": scene.rows("SELECT action FROM pending_approvals"),
        "builds": scene.rows("SELECT count(*) FROM effects WHERE kind = 'build_group_image'"),
        "folders": sorted(path.name for path in scene.paths.groups.iterdir()),
    }


@pytest.mark.parametrize(
    ("point", "make"), CASES, ids=[f"{point}-{make.__name__}" for point, make in CASES]
)
def test_step_that_was_cut_short_is_done_once(
    scene: Scene, kill: KillFolder, tmp_path: Path, point: str, make: Callable[[Scene], Effect]
) -> None:
    undisturbed = Scene(tmp_path / "other")
    undisturbed.run("sess-a")
    undisturbed.carry_out(make(undisturbed))
    expected = state(undisturbed)
    undisturbed.close()
    effect = make(scene)
    kill.arm(point, "self")

    assert carry_out(tmp_path, effect.effect_id, kill.path) == -signal.SIGKILL
    assert carry_out(tmp_path, effect.effect_id) == 0

    assert state(scene) == expected
