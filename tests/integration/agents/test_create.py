"""Agents that agents ask for (H-247, W-7, W-53)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from helpers.agents_scene import Scene

from contract.errors import SessionFileBusy
from contract.inbound.reader import read_destinations
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.requests import answer
from nanoclaw.db import agent_groups, container_configs, destinations, roles, users
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, Failed, Outcome
from nanoclaw.events import ActionOutcome
from nanoclaw.model import AgentGroup, Role, RoleGrant, User

OWNER = "telegram:1"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    users.upsert(made.conn, User(OWNER, "telegram", made.now))
    roles.grant(made.conn, RoleGrant(OWNER, Role.OWNER, made.now))
    yield made
    made.close()


def ask(scene: Scene, name: str = "Researcher", **columns: object) -> tuple[Effect, Outcome]:
    content = {
        "action": "create_agent", "requestId": "r", "name": name, "instructions": "Be thorough.",
    }  # fmt: skip
    effect = scene.action(scene.a, content, **columns)
    return effect, scene.carry_out(effect)


def allow(scene: Scene, quota: int) -> None:
    change = ContainerConfigChange(agents_quota=quota)
    container_configs.update(scene.conn, "ag-a", change, scene.now)


def found(scene: Scene, name: str) -> AgentGroup | None:
    groups = agent_groups.list_all(scene.conn)
    return next((group for group in groups if group.name == name), None)


def press(scene: Scene, value: str, user_id: str = OWNER) -> ActionOutcome:
    ((card_id,),) = scene.rows("SELECT approval_id FROM pending_approvals")
    with transaction(scene.conn):
        click = Click(str(card_id), value, user_id, "telegram", "x")
        result = answer(scene.conn, click, scene.now)
    assert result is not None
    return result.outcome


def test_agent_beyond_the_quota_waits_for_a_person_who_sees_everything(scene: Scene) -> None:
    ask(scene, "Researcher")

    assert found(scene, "Researcher") is None
    ((question,),) = scene.rows("SELECT question FROM pending_approvals")
    for shown in ("Ann", "Researcher", "researcher", "Be thorough."):
        assert shown in str(question)


def test_approved_agent_is_made_with_destinations_both_ways(scene: Scene) -> None:
    scene.run("sess-a")
    ask(scene)

    press(scene, "approve")
    (effect,) = scene.due_effects("create_agent")
    assert isinstance(scene.carry_out(effect), Done)

    child = found(scene, "Researcher")
    assert child is not None
    assert destinations.has_agent(scene.conn, "ag-a", child.id)
    parent = destinations.get(scene.conn, child.id, "parent")
    assert parent is not None
    assert parent.target_id == "ag-a"
    memory = scene.paths.groups / child.folder / "CLAUDE.local.md"
    assert memory.read_text() == "Be thorough.\n"
    known = {target.name for target in read_destinations(scene.folder(scene.a).inbound_db)}
    assert "researcher" in known  # H-30: in the running session too
    (note,) = scene.texts(scene.a)
    assert "researcher" in note


def test_rejected_agent_is_not_made(scene: Scene) -> None:
    ask(scene)

    press(scene, "reject")

    assert scene.due_effects("create_agent") == []
    assert found(scene, "Researcher") is None


def test_stranger_cannot_allow_it(scene: Scene) -> None:
    ask(scene)

    assert press(scene, "approve", "telegram:99") is ActionOutcome.NOT_ALLOWED

    assert scene.due_effects("create_agent") == []


def test_quota_makes_agents_without_asking_until_it_is_used_up(scene: Scene) -> None:
    allow(scene, 1)

    ask(scene, "One")
    ask(scene, "Two")

    assert found(scene, "One") is not None
    assert found(scene, "Two") is None
    assert len(scene.rows("SELECT 1 FROM pending_approvals")) == 1


def test_turn_with_foreign_content_has_no_quota(scene: Scene) -> None:
    allow(scene, 5)

    ask(scene, taint="mail")

    assert found(scene, "Researcher") is None
    ((question,),) = scene.rows("SELECT question FROM pending_approvals")
    assert "a mail" in str(question)


def test_guard_that_the_owner_has_switched_off_leaves_the_quota(scene: Scene) -> None:
    allow(scene, 5)
    change = ContainerConfigChange(taint_guard=False)
    container_configs.update(scene.conn, "ag-a", change, scene.now)

    ask(scene, taint="mail")

    assert found(scene, "Researcher") is not None


@pytest.mark.parametrize(
    ("name", "folder"), [("Global", "global-2"), ("GLOBAL", "global-2"), ("x" * 80, "x" * 64)]
)
def test_folder_of_an_agent_is_never_the_shared_one(scene: Scene, name: str, folder: str) -> None:
    """W-53."""
    allow(scene, 1)

    ask(scene, name)

    child = found(scene, name)
    assert child is not None
    assert child.folder == folder


def test_folder_that_an_earlier_agent_left_is_not_inherited(scene: Scene) -> None:
    allow(scene, 1)
    left = scene.paths.groups / "researcher"
    left.mkdir()
    (left / "CLAUDE.local.md").write_text("secrets of another")

    ask(scene)

    child = found(scene, "Researcher")
    assert child is not None
    assert child.folder == "researcher-2"


def test_repeated_step_makes_one_agent(scene: Scene) -> None:
    allow(scene, 5)
    effect, _ = ask(scene)

    assert isinstance(scene.attempt(effect), Done)

    assert len(agent_groups.list_all(scene.conn)) == 3
    assert len(scene.texts(scene.a)) == 1
    assert len(scene.rows("SELECT 1 FROM audit WHERE kind = 'agent.created'")) == 1


def test_name_of_a_destination_cannot_be_taken_twice(scene: Scene) -> None:
    allow(scene, 5)

    _, outcome = ask(scene, "BEN")

    assert isinstance(outcome, Failed)
    (note,) = scene.texts(scene.a)
    assert "'ben'" in note


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\u202eb", "a\nb"])
def test_unusable_name_is_refused_with_a_reason(scene: Scene, name: str) -> None:
    allow(scene, 5)

    _, outcome = ask(scene, name)

    assert isinstance(outcome, Failed)
    (note,) = scene.texts(scene.a)
    assert "name" in note


def test_busy_inbox_repeats_the_step_and_loses_nothing(scene: Scene) -> None:
    allow(scene, 5)
    scene.run("sess-a")
    content = {"action": "create_agent", "requestId": "r", "name": "Kid", "instructions": None}
    effect = scene.action(scene.a, content)
    with closing(sqlite3.connect(scene.folder(scene.a).inbound_db)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionFileBusy):
            scene.attempt(effect)

    assert isinstance(scene.attempt(effect), Done)

    assert found(scene, "Kid") is not None
    assert len(scene.texts(scene.a)) == 1
