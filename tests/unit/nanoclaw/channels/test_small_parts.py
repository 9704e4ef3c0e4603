"""Pacing, backoff, cursor, spool, rejected events, registry, lanes, watchdog."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nanoclaw.capabilities import Capabilities
from nanoclaw.channels.backoff import reconnect_seconds
from nanoclaw.channels.cursor import Cursor, read_cursor, store_cursor
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.lane import Job, Lane
from nanoclaw.channels.pacing import MAX_CHATS, Pacer
from nanoclaw.channels.part import Part
from nanoclaw.channels.registry import KINDS, kind_of, load_adapter
from nanoclaw.channels.rejected import KEPT, keep_rejected
from nanoclaw.channels.spool import (
    SpoolError,
    Stored,
    copy_outbound,
    open_spool,
    remove_outbound,
    store_inbound,
    sweep_spool,
)
from nanoclaw.errors import ConfigError
from nanoclaw.events import Deliver, FailureClass

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def failure(kind: FailureClass, retry_after_ms: int | None = None) -> ChannelFailure:
    return ChannelFailure(kind, "as the test wants", retry_after_ms)


@pytest.mark.parametrize(
    ("cause", "attempt", "seconds"),
    [
        (failure(FailureClass.OFFLINE), 0, 1.0),
        (failure(FailureClass.OFFLINE), 3, 8.0),
        (failure(FailureClass.TRANSIENT), 50, 60.0),
        (failure(FailureClass.AUTH), 0, 900.0),
        (failure(FailureClass.CONFLICT), 9, 30.0),
        (failure(FailureClass.RATE_LIMITED, 5000), 0, 5.0),
    ],
)
def test_reconnect_delays_grow_to_a_minute(
    cause: ChannelFailure, attempt: int, seconds: float
) -> None:
    assert reconnect_seconds(cause, attempt, jitter=1.0) == seconds


def test_jitter_never_makes_a_busy_loop() -> None:
    assert reconnect_seconds(failure(FailureClass.OFFLINE), 0, jitter=0.0) == 0.1


def test_a_chat_waits_for_its_interval_and_others_do_not() -> None:
    pacer = Pacer(Capabilities(min_interval_ms=1000))
    pacer.note_call("a", 10.0)

    assert pacer.free_at("a", 10.0) == 11.0
    assert pacer.free_at("b", 10.0) <= 10.0
    assert not pacer.unlimited


def test_the_account_may_burst_for_a_second_and_then_keeps_its_rate() -> None:
    pacer = Pacer(Capabilities(max_per_second=2.0))
    for _ in range(2):
        assert pacer.free_at("a", 10.0) <= 10.0
        pacer.note_call("a", 10.0)

    assert pacer.free_at("b", 10.0) == pytest.approx(10.5)
    assert pacer.free_at("b", 10.6) <= 10.6


def test_a_pause_holds_for_the_whole_account() -> None:
    pacer = Pacer(Capabilities())
    pacer.pause(20.0)
    pacer.pause(15.0)

    assert pacer.free_at("a", 10.0) == 20.0
    assert pacer.unlimited


def test_the_memory_of_chats_is_bounded() -> None:
    pacer = Pacer(Capabilities(min_interval_ms=1000))
    for number in range(MAX_CHATS + 1):
        pacer.note_call(number, 10.0)

    assert pacer.free_at(0, 10.0) <= 10.0
    assert pacer.free_at(1, 10.0) == 11.0


def job(name: str, parts: int, *, doubtful: bool = False) -> Job:
    frame = Deliver(name, 1, "chat", "chat", "{}")
    made = tuple(Part(key=f"{name}{number}") for number in range(parts))
    return Job(frame, made, 0, doubtful, [])


def test_a_lane_gives_out_steps_in_order_across_messages() -> None:
    lane = Lane(("chat", None))
    lane.jobs.extend([job("a", 2, doubtful=True), job("b", 1)])

    steps = lane.next_steps(10)

    assert [(step.delivery_id, step.index) for step in steps] == [("a", 0), ("a", 1), ("b", 0)]
    assert [step.doubtful for step in steps] == [True, False, False]
    assert lane.busy


def test_a_lane_gives_out_no_more_than_asked_for() -> None:
    lane = Lane(("chat", None))
    lane.jobs.append(job("a", 3))

    assert len(lane.next_steps(1)) == 1


def test_a_cursor_belongs_to_its_account(tmp_path: Path) -> None:
    cursor = Cursor(account_id="bot", stored_at="2026-11-21T08:00:00.000Z", position={"r": "5"})
    store_cursor(tmp_path, cursor)

    assert read_cursor(tmp_path, "bot") == cursor
    assert read_cursor(tmp_path, "another") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"accountId":5}'])
def test_a_broken_cursor_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cursor.json").write_bytes(content)

    assert read_cursor(tmp_path, "bot") is None


def test_rejected_events_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    for _ in range(KEPT + 3):
        keep_rejected(tmp_path, b"x" * 100_000, "too odd")

    files = list((tmp_path / "rejected").iterdir())
    assert len(files) == KEPT
    assert all(file.stat().st_size < 70_000 for file in files)


def spooled(folder: Path, name: str = "f1", data: bytes = b"data") -> Stored:
    open_spool(folder)
    (folder / "spool/out" / name).write_bytes(data)
    return Stored(name, len(data), hashlib.sha256(data).hexdigest())


def test_a_spooled_file_is_copied_when_it_is_what_was_announced(tmp_path: Path) -> None:
    stored = spooled(tmp_path)

    copy_outbound(tmp_path, stored, tmp_path / "copy")
    remove_outbound(tmp_path, ["f1", "../../etc", "gone"])

    assert (tmp_path / "copy").read_bytes() == b"data"
    assert not (tmp_path / "spool/out/f1").exists()


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(Stored("f1", 5, "00"), id="other size"),
        pytest.param(Stored("f1", 4, "00"), id="other content"),
        pytest.param(Stored("missing", 4, "00"), id="missing"),
        pytest.param(Stored("../in/x", 4, "00"), id="path"),
        pytest.param(Stored("link", 4, "00"), id="link"),
        pytest.param(Stored("fifo", 0, "00"), id="fifo"),
        pytest.param(Stored("..", 0, "00"), id="folder"),
    ],
)
def test_anything_else_in_the_spool_is_refused(tmp_path: Path, stored: Stored) -> None:
    spooled(tmp_path)
    (tmp_path / "spool/out/link").symlink_to(tmp_path / "spool/out/f1")
    os.mkfifo(tmp_path / "spool/out/fifo")

    with pytest.raises(SpoolError):
        copy_outbound(tmp_path, stored, tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


def test_an_inbound_file_is_stored_with_its_hash_and_a_limit(tmp_path: Path) -> None:
    open_spool(tmp_path)

    stored = store_inbound(tmp_path, [b"da", b"ta"], max_bytes=4)
    with pytest.raises(SpoolError, match="larger than 4"):
        store_inbound(tmp_path, [b"da", b"tax"], max_bytes=4)

    assert (tmp_path / "spool/in" / stored.spool).read_bytes() == b"data"
    assert stored.sha256 == hashlib.sha256(b"data").hexdigest()
    assert len(list((tmp_path / "spool/in").iterdir())) == 1


@pytest.mark.parametrize(("folder", "hours"), [("in", 25), ("out", 7 * 24 + 1)])
def test_leftovers_in_the_spool_are_swept_by_age(tmp_path: Path, folder: str, hours: int) -> None:
    open_spool(tmp_path)
    for name, age in (("old", timedelta(hours=hours)), ("new", timedelta(hours=hours - 2))):
        path = tmp_path / "spool" / folder / name
        path.write_bytes(b"x")
        then = (NOW - age).timestamp()
        os.utime(path, (then, then))

    assert sweep_spool(tmp_path, NOW) == 1
    assert [path.name for path in (tmp_path / "spool" / folder).iterdir()] == ["new"]


@pytest.mark.parametrize(("instance", "kind"), [("cli", "cli"), ("cli-work", "cli")])
def test_an_instance_has_the_kind_its_name_begins_with(instance: str, kind: str) -> None:
    assert kind_of(instance).name == kind


@pytest.mark.parametrize("instance", ["", "clip", "smoke-signals"])
def test_an_unknown_channel_is_named_with_the_known_ones(instance: str) -> None:
    with pytest.raises(ConfigError, match="known channels:"):
        kind_of(instance)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_registered_adapter_can_be_made(kind: object) -> None:
    adapter = load_adapter(kind)  # type: ignore[arg-type]  # pytest passes the values of KINDS

    assert isinstance(adapter.capabilities, Capabilities)
