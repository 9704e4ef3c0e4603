"""The sign that an agent is at work, in the right chat and no longer than it is true."""

import os
from dataclasses import replace

import pytest
from helpers.delivery_room import DeliveryRoom

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import NewInbound
from nanoclaw.db import sessions
from nanoclaw.delivery.typing import heartbeat_age


@pytest.fixture
def room(delivery: DeliveryRoom) -> DeliveryRoom:
    delivery.worker.capabilities = replace(
        delivery.worker.capabilities, typing=True, typing_seconds=2
    )
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("so that there is a connection")
    delivery.spin(lambda: delivery.states() == ["sent"])
    return delivery


def beat(room: DeliveryRoom, age: float = 0.0) -> None:
    path = room.folder.out_dir / "heartbeat"
    path.touch()
    then = utc_now().timestamp() - age
    os.utime(path, (then, then))


def ask(room: DeliveryRoom, number: int, chat: str) -> None:
    row = NewInbound(f"in-{number}", "chat", utc_now(), "{}", Address("cli", chat))
    room.receive(row)


def test_sign_is_repeated_while_the_heart_beats_and_taken_back(room: DeliveryRoom) -> None:
    ask(room, 1, "local")

    def beating() -> bool:
        beat(room)
        return len(room.worker.typing) >= 2

    room.spin(beating)
    beat(room, age=60)
    room.spin(lambda: not room.worker.typing[-1].active)

    assert {frame.platform_id for frame in room.worker.typing} == {"local"}


def test_w51_sign_follows_the_newest_source(room: DeliveryRoom) -> None:
    room.add_chat("second")
    ask(room, 1, "local")
    beat(room)
    room.spin(lambda: room.worker.typing)
    beat(room, age=60)
    room.spin(lambda: not room.worker.typing[-1].active)

    ask(room, 2, "second")

    def shown() -> bool:
        beat(room)
        return room.worker.typing[-1].platform_id == "second"

    room.spin(shown)


def test_stopped_session_shows_nothing(room: DeliveryRoom) -> None:
    ask(room, 1, "local")
    beat(room)
    room.spin(lambda: room.worker.typing)

    sessions.set_stopped(room.conn, "sess-1")
    assert room.loop is not None
    room.loop.look()
    room.spin(lambda: not room.worker.typing[-1].active)


@pytest.mark.parametrize("plant", ["link", "pipe", "missing", "future"])
def test_planted_heartbeat_is_no_sign_of_life(delivery: DeliveryRoom, plant: str) -> None:
    path = delivery.folder.out_dir / "heartbeat"
    if plant == "link":
        path.symlink_to("/proc/self/stat")
    elif plant == "pipe":
        os.mkfifo(path)
    elif plant == "future":
        path.touch()
        os.utime(path, (4e9, 4e9))

    age = heartbeat_age(delivery.folder)

    assert age is None or age < -2
