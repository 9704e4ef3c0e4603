"""The delivery process dies behind each step of its own; the next one goes on, once."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.delivery_process import DeliveryProcess
from helpers.delivery_room import DeliveryRoom
from helpers.kill_points import KillFolder

from contract.address import Address
from contract.clock import to_text, utc_now
from contract.content import ChatOut
from contract.inbound.row import NewInbound
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import approvals, dms, roles, users
from nanoclaw.db.connection import transaction
from nanoclaw.db.dms import UserDm
from nanoclaw.delivery.backlog import KEPT
from nanoclaw.model import Role, RoleGrant, User
from nanoclaw.paths import make_private_folder

OWNER = "cli:local"


@dataclass
class Scene:
    """The books, a worker that obeys, and a process that is killed."""

    room: DeliveryRoom
    kill: KillFolder
    process: DeliveryProcess

    def die_at(self, point: str) -> None:
        """The running process, or the next one, dies there; then another one goes on."""
        self.room.spin(lambda: self.process.is_dead, within=30)
        assert self.kill.was_reached(point), self.process.log()
        self.kill.clear(point)
        self.process.start()

    def age(self, hours: float) -> None:
        then = utc_now() - timedelta(hours=hours)
        self.room.conn.execute(
            "UPDATE deliveries SET created_at = ?, expires_at = ?",
            (to_text(then), to_text(then + timedelta(hours=24))),
        )


@pytest.fixture
def scene(delivery: DeliveryRoom, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "kill"
    folder.mkdir()
    delivery.worker.capabilities = replace(
        delivery.worker.capabilities, max_files=5, max_file_bytes=10**9
    )
    process = DeliveryProcess(delivery.config.paths, folder)
    yield Scene(delivery, KillFolder(folder), process)
    process.close()


@pytest.mark.parametrize("point", ["delivery.files_copied", "delivery.files_taken"])
def test_w19_files_are_sent_though_the_process_died_copying_them(scene: Scene, point: str) -> None:
    room = scene.room
    room.start_worker()
    room.put_file("out-1", "report.txt", b"the report")
    room.write([room.row("out-1", ChatOut(text="see", files=("report.txt",)))])
    scene.kill.arm(point, "self")
    scene.process.start()

    scene.die_at(point)
    room.spin(lambda: room.states() == ["sent"], within=20)

    (frame,) = room.worker.frames
    assert [(file.name, file.size) for file in frame.files] == [("report.txt", 10)]


def test_failure_is_told_once_though_the_process_died_telling_it(scene: Scene) -> None:
    room = scene.room
    room.start_worker()
    room.write([room.row("out-1", "no JSON")])
    scene.kill.arm("host.note_written", "self")
    scene.process.start()

    scene.die_at("host.note_written")
    room.spin(lambda: _untold(room) == 0 and room.notes(), within=20)

    assert len(room.notes()) == 1


@pytest.mark.parametrize("point", ["delivery.expired", "delivery.told"])
def test_expired_message_is_ended_and_told_by_the_next_process(scene: Scene, point: str) -> None:
    room = scene.room
    room.say("too late")
    scene.process.start()
    room.spin(lambda: room.states() == ["queued"])
    scene.process.close()
    scene.age(25)
    scene.kill.arm(point, "self")
    scene.process.start()

    scene.die_at(point)
    room.spin(lambda: _untold(room) == 0 and room.notes(), within=20)

    assert room.states() == ["failed"]
    assert len(room.notes()) == 1


def test_joined_backlog_is_said_once_though_the_process_died_joining_it(scene: Scene) -> None:
    room = scene.room
    texts = [f"m{number}" for number in range(KEPT + 10)]
    room.say(*texts)
    scene.process.start()
    room.spin(lambda: room.states() == ["queued"] * len(texts))
    scene.process.close()
    scene.age(1)
    scene.kill.arm("delivery.joined", "self")
    room.start_worker()
    scene.process.start()

    scene.die_at("delivery.joined")
    room.spin(lambda: room.states() == ["sent"] * len(texts), within=20)

    assert "\n\n".join(room.worker.texts).split("\n\n") == texts


def test_allowed_message_is_sent_once_though_the_process_died_releasing_it(scene: Scene) -> None:
    room = scene.room
    room.add_chat("friends")
    users.add_if_new(room.conn, User(OWNER, "cli", utc_now()))
    roles.grant(room.conn, RoleGrant(OWNER, Role.OWNER, utc_now()))
    dms.upsert(room.conn, UserDm(OWNER, "cli", room.chat.id, utc_now()))
    make_private_folder(room.config.paths.channel("cli"))
    room.start_worker()
    room.receive(NewInbound("in-1", "chat", utc_now(), "{}", Address("cli", "x"), taint="web"))
    room.write([room.row("out-1", ChatOut(text="psst"), chat="friends")])
    scene.kill.arm("delivery.held_released", "self")
    scene.process.start()
    room.spin(lambda: approvals.pending(room.conn), within=20)
    (approval,) = approvals.pending(room.conn)

    with transaction(room.conn):
        click = Click(approval.approval_id, "approve", OWNER, "cli", "local")
        answers.answer(room.conn, click, utc_now())
    ring(room.config.paths, DELIVERY)
    scene.die_at("delivery.held_released")
    room.spin(lambda: room.stored("out-1").state == "sent", within=20)

    assert [frame.platform_id for frame in room.worker.frames].count("friends") == 1


def _untold(room: DeliveryRoom) -> int:
    row: sqlite3.Row = room.conn.execute(
        "SELECT count(*) FROM deliveries WHERE told = 0"
    ).fetchone()
    return int(row[0])
