"""Files of agents: copied once out of a hostile folder, sent as they were, cleared afterwards."""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.delivery_room import DeliveryRoom

from contract.content import ChatOut
from nanoclaw.db import delivery_steps
from nanoclaw.delivery import spooling
from nanoclaw.events import DeliveryFailed, FailureClass, SpoolFile


@pytest.fixture
def room(delivery: DeliveryRoom) -> DeliveryRoom:
    delivery.worker.capabilities = replace(
        delivery.worker.capabilities, max_files=10, max_file_bytes=1 << 30
    )
    delivery.start_worker()
    delivery.start_loop()
    return delivery


def send(room: DeliveryRoom, *names: str, row_id: str = "out-1", text: str = "look") -> None:
    room.write([room.row(row_id, ChatOut(text=text, files=names))])


def spooled(room: DeliveryRoom, file: SpoolFile) -> Path:
    return room.config.paths.channel("cli") / "spool" / "out" / file.spool


def test_t11_file_is_copied_sent_and_its_folder_removed(room: DeliveryRoom) -> None:
    room.worker.silent = True
    room.put_file("out-1", "report.txt", b"the report")
    send(room, "report.txt")
    room.spin(lambda: room.worker.frames)

    (frame,) = room.worker.frames
    (file,) = frame.files
    assert (file.name, file.size) == ("report.txt", 10)
    assert file.sha256 == hashlib.sha256(b"the report").hexdigest()
    assert spooled(room, file).read_bytes() == b"the report"

    room.worker.silent = False
    room.stop_worker()
    room.start_worker()
    room.spin(lambda: room.states() == ["sent"])
    room.spin(lambda: not (room.folder.out_dir / "files" / "out-1").exists())
    room.spin(lambda: not spooled(room, file).exists())
    assert room.notes() == []


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def second_name(path: Path, outside: Path) -> None:
    os.link(outside, path)


def folder(path: Path, outside: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [link, pipe, second_name, folder])
def test_t72_w1_planted_file_stays_behind_and_the_text_goes_without_it(
    room: DeliveryRoom, plant: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"PRIVATE KEY")
    good = room.put_file("out-1", "good.txt")
    plant(good.parent / "bad.txt", secret)

    send(room, "bad.txt", "good.txt")
    room.spin(lambda: room.states() == ["sent"])
    room.spin(room.notes)

    (frame,) = room.worker.frames
    assert [file.name for file in frame.files] == ["good.txt"]
    assert "bad.txt" in room.notes()[0]
    assert secret.read_bytes() == b"PRIVATE KEY"


@pytest.mark.parametrize("name", ["../outbound.db", "a/b", "", ".", "missing.txt", "n" * 300])
def test_t11_unsafe_or_missing_name_is_refused_in_words(room: DeliveryRoom, name: str) -> None:
    send(room, name)
    room.spin(lambda: room.states() == ["sent"])
    room.spin(room.notes)

    assert room.worker.frames[0].files == ()
    assert "sent without some of its files" in room.notes()[0]


@pytest.mark.parametrize("place", ["files", "files/out-1"])
def test_t72_w1_linked_folder_is_neither_read_nor_emptied(
    room: DeliveryRoom, place: str, tmp_path: Path
) -> None:
    home = tmp_path / "somebody"
    (home / "out-1").mkdir(parents=True)
    for secret in (home / "id_rsa", home / "out-1" / "id_rsa"):
        secret.write_bytes(b"PRIVATE KEY")
    planted = room.folder.out_dir / place
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(home)

    send(room, "id_rsa")
    room.spin(lambda: room.states() == ["sent"])
    room.spin(room.notes)
    send(room, row_id="out-2", text="afterwards")
    room.spin(lambda: room.states() == ["sent", "sent"])

    assert room.worker.frames[0].files == ()
    assert (home / "id_rsa").exists()
    assert (home / "out-1" / "id_rsa").exists()


def test_t11_unsafe_message_id_reaches_no_other_folder(room: DeliveryRoom, tmp_path: Path) -> None:
    victim = room.folder.out_dir / "victim"
    victim.mkdir()
    (victim / "file").write_bytes(b"x")

    send(room, "file", row_id="../victim")
    room.spin(lambda: room.states() == ["sent"])
    room.spin(room.notes)

    assert room.worker.frames[0].files == ()
    assert (victim / "file").exists()


def test_w1_file_over_the_limit_is_left_out(
    room: DeliveryRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MAX_FILE_BYTES", 1000)
    room.put_file("out-1", "huge.bin", b"x" * 1001)
    room.put_file("out-1", "fits.bin", b"x" * 1000)

    send(room, "huge.bin", "fits.bin")
    room.spin(lambda: room.states() == ["sent"])
    room.spin(room.notes)

    assert [file.name for file in room.worker.frames[0].files] == ["fits.bin"]
    assert "huge.bin" in room.notes()[0]


def test_w1_growing_file_ends_at_the_limit(
    room: DeliveryRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MAX_FILE_BYTES", 1 << 20)
    path = room.put_file("out-1", "endless.log")
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.is_set() and file.tell() < 64 << 20:
                file.write(b"x" * 65536)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        send(room, "endless.log")
        room.spin(lambda: room.states() == ["sent"])
    finally:
        stop.set()
        writer.join()

    left = room.config.paths.channel("cli") / "spool" / "out"
    sizes = [entry.stat().st_size for entry in left.iterdir()]
    assert all(size <= 1 << 20 for size in sizes), sizes


def test_session_that_has_filled_its_share_sends_text_only(
    room: DeliveryRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MAX_SESSION_BYTES", 1500)
    room.worker.silent = True
    room.put_file("out-1", "a.bin", b"x" * 1000)
    send(room, "a.bin")
    room.spin(lambda: room.worker.frames)
    assert delivery_steps.spooled_bytes(room.conn, "sess-1") == 1000

    room.put_file("out-2", "b.bin", b"x" * 1000)
    send(room, "b.bin", row_id="out-2")
    room.spin(room.notes)

    assert "b.bin" in room.notes()[0]


def test_w19_retry_sends_the_same_files_though_the_agent_changed_its_own(
    room: DeliveryRoom,
) -> None:
    room.worker.answers = [DeliveryFailed(FailureClass.TRANSIENT, "try later")]
    path = room.put_file("out-1", "report.txt", b"first")
    send(room, "report.txt")
    room.spin(lambda: room.worker.frames)
    path.write_bytes(b"other")

    room.spin(lambda: room.states() == ["sent"])

    first, second = room.worker.frames
    assert first.files == second.files
    assert first.files[0].sha256 == hashlib.sha256(b"first").hexdigest()


def test_files_are_copied_by_the_next_process_when_the_first_one_died(
    delivery: DeliveryRoom,
) -> None:
    delivery.put_file("out-1", "report.txt")
    delivery.write([delivery.row("out-1", ChatOut(text="x", files=("report.txt",)))])
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])
    delivery.conn.execute("UPDATE deliveries SET files_state = 'wanted', files = '[]'")
    delivery.stop_loop()

    delivery.start_worker()
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert [file.name for file in delivery.worker.frames[0].files] == ["report.txt"]


def test_message_behind_one_with_files_keeps_its_place(room: DeliveryRoom) -> None:
    room.put_file("out-1", "big.bin", b"x" * 5_000_000)
    room.write(
        [
            room.row("out-1", ChatOut(text="first", files=("big.bin",))),
            room.row("out-2", ChatOut(text="second")),
        ]
    )

    room.spin(lambda: room.states() == ["sent", "sent"])

    assert room.worker.texts == ["first", "second"]


def test_agent_learns_which_file_its_channel_does_not_take(delivery: DeliveryRoom) -> None:
    delivery.start_worker()  # takes no files
    delivery.start_loop()
    delivery.put_file("out-1", "report.txt")

    send(delivery, "report.txt")
    delivery.spin(delivery.notes)

    assert "report.txt: this channel takes no files" in delivery.notes()[0]


def test_message_of_nothing_but_bad_files_is_no_success(room: DeliveryRoom) -> None:
    room.worker.answers = [
        DeliveryFailed(FailureClass.PERMANENT, "the message has neither text nor files")
    ]

    send(room, "missing.txt", text="")
    room.spin(lambda: room.states()[0] == "failed")
    room.spin(lambda: any("was not delivered" in note for note in room.notes()))
