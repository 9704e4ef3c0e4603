"""Parts of the runner on real files, without a process."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from helpers.runner_process import CHAT, RunnerSession

from contract.clock import utc_now
from contract.inbound.row import AckStatus
from contract.inbound.writer import open_inbound
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from runner.change import Change
from runner.errors import ConfigError, FencedOffError, GiveUpError
from runner.heartbeat import Heartbeat
from runner.lease import Lease
from runner.log import LOG_BYTES, fields, set_up_logging
from runner.notice import write_notice
from runner.settings import read_settings
from runner.store import CURRENT_BATCH, Store, continuation_key
from runner.wakeup import Wakeup
from runner.zone import find_zone


def store_of(session: RunnerSession) -> Store:
    return Store(session.paths, Lease(session.paths.session_json, session.lease))


def out_message(message_id: str) -> NewOutbound:
    return NewOutbound(
        id=message_id, kind="chat", timestamp=utc_now(), content='{"text":"x"}', address=CHAT
    )


def test_claims_of_another_lease_are_freed_at_start_and_settled_ones_are_not(
    session: RunnerSession,
) -> None:
    claimed, settled = session.send("a"), session.send("b")
    with open_outbound(session.paths.outbound_db) as out:
        out.claim([claimed], 0, utc_now())
        out.complete([settled], utc_now())
        out.set_state(CURRENT_BATCH, "{}", utc_now())
        out.set_tool_in_flight("Bash", 1000, utc_now())

    async def run() -> list[str]:
        store = store_of(session)
        await store.start("scripted")
        batch = await store.read_batch(10, first_poll=True)
        store.close()
        return [row.id for row in batch.rows]

    assert asyncio.run(run()) == [claimed]
    assert session.ack_of(claimed) is None
    assert session.status_of(settled) is AckStatus.COMPLETED
    with open_outbound(session.paths.outbound_db) as out:
        assert out.get_state(CURRENT_BATCH) is None


@pytest.mark.parametrize(
    ("stored", "continuation"),
    [
        ({}, None),
        ({"continuation:scripted": "own"}, "own"),
        ({"sdk_session_id": "old"}, "old"),
        ({"sdk_session_id": "old", "continuation:scripted": "own"}, "own"),
        ({"continuation:other": "theirs"}, None),
    ],
)
def test_continuation_belongs_to_one_provider_and_the_old_slot_is_taken_over(
    session: RunnerSession, stored: dict[str, str], continuation: str | None
) -> None:
    with open_outbound(session.paths.outbound_db) as out:
        for key, value in stored.items():
            out.set_state(key, value, utc_now())

    async def run() -> list[str | None]:
        store = store_of(session)
        found = [await store.start("Scripted"), await store.start("Scripted")]
        store.close()
        return found

    assert asyncio.run(run()) == [continuation, continuation]
    with open_outbound(session.paths.outbound_db) as out:
        assert out.get_state("sdk_session_id") is None
        assert out.get_state(continuation_key("SCRIPTED")) == continuation


def test_change_is_written_as_a_whole_and_rows_are_not_read_again(session: RunnerSession) -> None:
    first, second = session.send("a"), session.send("b")

    async def run() -> list[list[str]]:
        store = store_of(session)
        await store.start("scripted")
        seen: list[list[str]] = []
        for change in (
            Change(claim=(first, second)),
            Change(complete=(first,), messages=(out_message("o-1"),), state=(("k", "v"),)),
            Change(release=(second,), state=(("k", None),)),
        ):
            await store.apply(change)
            batch = await store.read_batch(10, first_poll=False)
            seen.append([row.id for row in batch.rows])
        store.close()
        return seen

    assert asyncio.run(run()) == [[], [], [second]]
    assert [row.id for row in session.messages()] == ["o-1"]
    assert session.status_of(first) is AckStatus.COMPLETED
    assert session.ack_of(second) is None


def test_nothing_is_written_without_the_lease(session: RunnerSession) -> None:
    message = session.send("a")

    async def run() -> None:
        store = store_of(session)
        await store.start("scripted")
        session.renew_lease()
        try:
            await store.apply(Change(complete=(message,)))
        finally:
            store.close()

    with pytest.raises(FencedOffError):
        asyncio.run(run())
    assert session.acks() == []


def test_write_is_tried_again_until_the_lock_is_gone(session: RunnerSession) -> None:
    async def run() -> None:
        store = store_of(session)
        await store.start("scripted")
        session.paths.inbound_db.rename(session.paths.in_dir / "away")
        writing = asyncio.create_task(store.apply(Change(messages=(out_message("o-1"),))))
        done, _ = await asyncio.wait({writing}, timeout=0.05)
        assert not done
        (session.paths.in_dir / "away").rename(session.paths.inbound_db)
        await writing
        store.close()

    asyncio.run(run())
    assert [row.id for row in session.messages()] == ["o-1"]


def test_write_that_cannot_be_made_is_given_up_when_we_are_asked_to_leave(
    session: RunnerSession,
) -> None:
    async def run() -> None:
        store = store_of(session)
        await store.start("scripted")
        session.paths.inbound_db.unlink()
        writing = asyncio.create_task(store.apply(Change(messages=(out_message("o-1"),))))
        await asyncio.wait({writing}, timeout=0.05)
        store.stop_retrying()
        try:
            await writing
        finally:
            store.close()

    with pytest.raises(GiveUpError):
        asyncio.run(run())


def test_settled_rows_that_the_host_took_over_are_forgotten(session: RunnerSession) -> None:
    ids = [session.send(str(n)) for n in range(70)]

    async def run() -> None:
        store = store_of(session)
        await store.start("scripted")
        await store.apply(Change(complete=tuple(ids)))
        await store.clean()
        assert len(session.acks()) == len(ids)
        session.sync()
        await store.clean()
        store.close()

    asyncio.run(run())
    assert session.acks() == []


def test_lease_is_read_again_only_when_the_file_changed(session: RunnerSession) -> None:
    lease = Lease(session.paths.session_json, 1)
    lease.check()
    session.configure(idle_exit_seconds=5)
    lease.check()

    session.paths.session_json.write_text("{")

    with pytest.raises(FencedOffError):
        lease.check()


def test_settings_without_a_session_file_are_none(session: RunnerSession) -> None:
    session.paths.session_json.write_bytes(b"\xff")

    with pytest.raises(ConfigError) as caught:
        read_settings(session.paths)

    assert str(session.root) not in caught.value.notice


def test_settings_name_what_is_wrong_with_the_container_file(session: RunnerSession) -> None:
    session.paths.container_json.write_text('{"maxMessagesPerPrompt":-1,"idleExitSeconds":7}')

    settings = read_settings(session.paths)

    assert settings.problems == ("maxMessagesPerPrompt is below 1",)
    assert settings.idle_exit_seconds == 7


def test_unreadable_container_file_means_defaults(session: RunnerSession) -> None:
    session.paths.container_json.write_bytes(b"\xff")

    settings = read_settings(session.paths)

    assert settings.config.max_messages_per_prompt == 10
    assert len(settings.problems) == 1


def test_notice_goes_to_who_waits_when_the_session_has_no_chat(session: RunnerSession) -> None:
    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.set_session_routing(None)
    assert not write_notice(session.paths, "nobody")
    message = session.send("hello")

    assert write_notice(session.paths, "broken")
    assert not write_notice(session.paths, "broken")
    assert write_notice(session.paths, "broken otherwise")

    assert [row.in_reply_to for row in session.messages()] == [message, message]


def test_notice_that_cannot_be_written_is_no_error(session: RunnerSession) -> None:
    session.paths.inbound_db.write_bytes(b"damaged" * 1000)

    assert not write_notice(session.paths, "broken")


def test_heartbeat_of_a_link_is_refused_and_other_errors_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "heartbeat").symlink_to(tmp_path / "elsewhere")

    Heartbeat(tmp_path / "heartbeat", 1).touch()
    Heartbeat(tmp_path / "missing" / "heartbeat", 1).touch()

    assert not (tmp_path / "elsewhere").exists()


def test_heartbeat_stops_when_the_turn_ends(tmp_path: Path) -> None:
    async def run() -> None:
        heartbeat = Heartbeat(tmp_path / "heartbeat", 0.05)
        heartbeat.begin()
        heartbeat.begin()
        assert heartbeat.running
        heartbeat.end()
        heartbeat.end()
        assert not heartbeat.running

    asyncio.run(run())
    assert (tmp_path / "heartbeat").exists()


def test_silent_watch_is_found_out_and_replaced_by_polling(session: RunnerSession) -> None:
    async def run() -> str:
        wakeup = Wakeup(session.paths, {}, safety_seconds=0.05)
        wakeup.start()
        # The watch stays with the old folder, as on a mount that reports nothing.
        session.paths.in_dir.rename(session.root / "old")
        session.paths.in_dir.mkdir()
        session.paths.inbound_db.write_bytes(b"changed")
        async with asyncio.timeout(5):
            while wakeup.mode != "polling":
                wakeup.clear()
                await wakeup.wait(1)
            wakeup.clear()
            session.paths.inbound_db.write_bytes(b"changed again")
            await wakeup.wait(5)
        wakeup.close()
        return wakeup.mode

    assert asyncio.run(run()) == "polling"


def test_waiting_ends_with_the_bell_or_with_the_time(session: RunnerSession) -> None:
    async def run() -> None:
        wakeup = Wakeup(session.paths, {})
        wakeup.start()
        wakeup.ring()
        await wakeup.wait(60)
        wakeup.clear()
        await wakeup.wait(-1)
        wakeup.close()

    asyncio.run(run())


def test_missing_folder_is_an_error_and_not_a_silent_wait(tmp_path: Path) -> None:
    session = RunnerSession(tmp_path / "s")
    session.paths.in_dir.rename(tmp_path / "away")

    async def run(environment: dict[str, str]) -> None:
        Wakeup(session.paths, environment).start()

    for environment in ({}, {"NANOCLAW_WATCH": "polling"}):
        with pytest.raises(OSError):
            asyncio.run(run(environment))


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_log_lines_are_single_and_have_their_fields_in_order(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    set_up_logging(tmp_path / "runner" / "runner.log")

    logging.getLogger("runner.loop").info(
        "happened", extra=fields(reason="two\nlines", session="s-1", count=None)
    )

    [line] = (tmp_path / "runner" / "runner.log").read_text().splitlines()
    assert line.endswith("INFO [loop] happened session=s-1 reason=two\\nlines")
    assert (tmp_path / "runner").stat().st_mode & 0o777 == 0o700


def test_log_keeps_two_files(tmp_path: Path, root_logger: logging.Logger) -> None:
    path = tmp_path / "runner.log"
    path.write_text("x" * LOG_BYTES)
    set_up_logging(path)

    logging.getLogger("runner").info("fresh")

    assert path.read_text().endswith("fresh\n")
    assert path.with_suffix(".log.1").stat().st_size == LOG_BYTES


def test_log_without_a_file_goes_to_standard_error(
    tmp_path: Path, root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    set_up_logging(tmp_path / "file" / "runner.log")

    assert "no log file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("UTC", "UTC"),
        ("", "UTC"),
        ("Mars/1", "UTC"),
        ("../x", "UTC"),
    ],
)
def test_zone_is_the_named_one_or_utc(name: str, found: str) -> None:
    assert find_zone(name)[0] == found


def test_message_numbers_lie_above_both_files_and_are_odd(session: RunnerSession) -> None:
    session.send("a")
    with closing(sqlite3.connect(session.paths.inbound_db)) as inbound, inbound:
        inbound.execute("UPDATE messages_in SET seq = 40")

    async def run() -> None:
        store = store_of(session)
        await store.start("scripted")
        await store.apply(Change(messages=(out_message("o-1"), out_message("o-2"))))
        store.close()

    asyncio.run(run())
    assert [row.seq for row in session.messages()] == [41, 43]
