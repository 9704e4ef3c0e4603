"""Who gets through which door, and what becomes of doors when the vault or a container goes."""

import json
import os
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import Call, FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import doors, sessions


def test_door_is_open_to_the_containers_user_and_to_nobody_around(vault: VaultProcess) -> None:
    vault.start()
    door = vault.new_door()

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(door.socket) == 0o666
    assert mode(door.socket.parent) == 0o711
    assert mode(door.socket.parent.parent) == 0o700


def test_wrong_token_gets_nothing_through(vault: VaultProcess, upstream: FakeUpstream) -> None:
    vault.start()
    door = vault.new_door()

    for token in ("", "x", door.token[:-1], door.token + "x", "ü" * 40):
        answer = replace(door, token=token).ask()
        assert answer.status == 401
        assert answer.error[0] == "authentication_error"

    assert door.ask(headers={}).status == 401
    assert upstream.seen == []


def test_token_of_another_door_does_not_fit_this_one(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    mine, other = vault.new_door(), vault.new_door()

    assert DoorClient(mine.socket, other.token).ask().status == 401

    both = {**mine.headers(), "x-api-key": other.token}
    assert mine.ask(headers=both).status == 401
    assert mine.ask(headers={"x-api-key": mine.token}).status == 200
    assert len(upstream.seen) == 1


def test_token_is_checked_again_with_every_request(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()

    with closing(door.connect()) as connection:
        connection.request("POST", "/v1/messages", json.dumps(PROMPT), door.headers())
        connection.getresponse().read()
        wrong = replace(door, token="x").headers()
        connection.request("POST", "/v1/messages", json.dumps(PROMPT), wrong)
        assert connection.getresponse().status == 401

    assert len(upstream.seen) == 1


def test_closed_door_is_gone_with_its_folder_and_its_connections(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.wait_for_hang_up()

    upstream.play = play
    vault.start()
    door = vault.new_door()
    connection, response = door.begin()
    response.readline()

    with closing(connection):
        vault.close_door(vault.session_of(1))

        assert upstream.hung_up.wait(10)
        assert not door.socket.parent.exists()
        with pytest.raises(OSError):
            door.ask()


def test_next_start_of_a_session_has_another_door_and_token(vault: VaultProcess) -> None:
    vault.start()
    old = vault.new_door()

    new = vault.open_door(vault.session_of(1))

    assert new.socket != old.socket
    assert not old.socket.exists()
    assert DoorClient(new.socket, old.token).ask().status == 401
    assert new.ask().status == 200


def test_door_whose_lease_is_gone_is_shut(vault: VaultProcess) -> None:
    vault.start()
    door = vault.new_door()

    with vault.database() as conn:
        session = sessions.get(conn, vault.session_of(1))
        assert session is not None
        assert sessions.release_lease(conn, session.id, session.lease_token)
    vault.nudge()

    assert not door.socket.exists()


def test_doors_are_there_when_the_vault_comes_later(vault: VaultProcess) -> None:
    door = vault.new_door()
    assert not door.socket.exists()

    vault.start()

    assert door.ask().status == 200


def test_folder_of_nobody_is_removed_and_other_things_are_left(vault: VaultProcess) -> None:
    stale = vault.paths.doors / "0a1b2c3d"
    stale.mkdir(parents=True)
    (stale / "vault.sock").touch()
    other = vault.paths.doors / "notes"
    other.mkdir()

    vault.start()

    assert not stale.exists()
    assert other.exists()


def test_vault_that_was_killed_comes_back_behind_the_same_doors(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    inode = door.socket.parent.stat().st_ino
    assert door.ask().status == 200

    vault.kill()
    vault.start()

    assert door.socket.parent.stat().st_ino == inode
    assert door.ask().status == 200
    assert len(upstream.seen) == 2


def test_stop_lets_a_running_answer_end(vault: VaultProcess, upstream: FakeUpstream) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        upstream.gate.wait(20)
        call.end_stream()

    upstream.play = play
    vault.start()
    door = vault.new_door()
    connection, response = door.begin()
    response.readline()

    with closing(connection):
        assert vault.process is not None
        vault.process.terminate()
        wait_until(lambda: not _accepts(door), what="the door takes nobody in any more")
        upstream.gate.set()
        assert b"message_stop" in response.read()
    assert vault.process.wait(10) == 0
    (row,) = vault.usage()
    assert row.state == "settled"
    assert door.socket.parent.exists()


def test_connections_of_one_door_are_bounded_and_another_door_is_not_touched(
    vault: VaultProcess,
) -> None:
    vault.start()
    crowded, other = vault.new_door(), vault.new_door()

    held = [crowded.connect() for _ in range(64)]
    for connection in held:
        connection.connect()
    with pytest.raises(OSError):
        crowded.ask()
    assert other.ask().status == 200

    for connection in held:
        connection.close()
    wait_until(lambda: _works(crowded), what="there is room again")


def test_long_home_has_its_doors_elsewhere(tmp_path: Path, upstream: FakeUpstream) -> None:
    with VaultProcess(tmp_path / ("x" * 100)) as vault:
        vault.settings(anthropic_base_url=upstream.url)
        vault.key()
        vault.start()
        door = vault.new_door()

        assert len(os.fsencode(door.socket)) < 108
        assert door.ask().status == 200
        vault.close_door(vault.session_of(1))


def test_crashed_doors_are_closed_by_their_lease(vault: VaultProcess) -> None:
    vault.new_door()
    vault.new_door()
    with vault.database() as conn:
        session = sessions.get(conn, vault.session_of(1))
        assert session is not None
        sessions.release_lease(conn, session.id, session.lease_token)

        assert doors.close_invalid(conn, utc_now()) == 1
        assert [door.session_id for door in doors.list_open(conn)] == [vault.session_of(2)]
        assert doors.list_valid(conn) == doors.list_open(conn)


def _accepts(door: DoorClient) -> bool:
    try:
        with closing(door.connect()) as connection:
            connection.connect()
    except OSError:
        return False
    return True


def _works(door: DoorClient) -> bool:
    try:
        return door.ask().status == 200
    except OSError:
        return False
