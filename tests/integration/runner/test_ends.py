import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.runner_process import RunnerSession
from helpers.waiting import wait_until

from contract.config import SessionLimits
from contract.exits import RunnerExit
from contract.inbound.row import AckStatus
from contract.version import CONTRACT_VERSION

HANG_ONCE = [{"match": None, "times": 1, "steps": [{"say": "lost"}, {"hang": True}]}]


def test_terminated_while_idle_it_leaves_with_zero(session: RunnerSession) -> None:
    process = session.start()
    process.wait_for_log("runner up")

    assert process.terminate() == RunnerExit.DONE


def test_terminated_in_mid_turn_it_leaves_the_claim_for_the_next_lease(
    session: RunnerSession,
) -> None:
    session.configure(HANG_ONCE)
    message = session.send("hello")
    process = session.start()
    session.wait_for_status(message, AckStatus.PROCESSING)

    assert process.terminate() == RunnerExit.DONE

    assert session.status_of(message) is AckStatus.PROCESSING
    assert session.texts() == []


def test_killed_in_mid_turn_the_message_is_answered_once_by_the_next_lease(
    session: RunnerSession,
) -> None:
    session.configure(HANG_ONCE)
    message = session.send("hello")
    killed = session.start()
    session.wait_for_status(message, AckStatus.PROCESSING)
    session.wait_for_a_turn()
    killed.kill()
    session.renew_lease()

    session.start()

    session.wait_for_status(message, AckStatus.COMPLETED)
    other = session.send("other")
    session.wait_for_status(other, AckStatus.COMPLETED)
    assert session.texts() == ["You said: hello", "You said: other"]


@pytest.mark.parametrize(
    "point",
    [
        "runner.polled",
        "runner.claimed",
        "runner.turn_started",
        "runner.turn_done",
        "runner.answered",
    ],
)
def test_killed_at_any_step_the_message_is_answered_exactly_once(
    session: RunnerSession, tmp_path: Path, point: str
) -> None:
    (tmp_path / "kill").mkdir()
    (tmp_path / "kill" / point).write_text("self")
    message = session.send("hello")
    killed = session.start(NANOCLAW_KILL_DIR=str(tmp_path / "kill"))
    assert killed.code() < 0
    session.renew_lease()

    session.start()

    session.wait_for_status(message, AckStatus.COMPLETED)
    other = session.send("other")
    session.wait_for_status(other, AckStatus.COMPLETED)
    assert session.texts() == ["You said: hello", "You said: other"]


def test_claim_of_a_lost_lease_is_not_settled_by_the_loser(session: RunnerSession) -> None:
    session.configure([{"match": None, "steps": [{"hang": True}]}])
    message = session.send("hello")
    process = session.start()
    session.wait_for_status(message, AckStatus.PROCESSING)
    session.wait_for_a_turn()
    before = session.paths.outbound_db.read_bytes()

    session.renew_lease()

    assert process.code() == RunnerExit.TEMPFAIL
    assert session.paths.outbound_db.read_bytes() == before


@pytest.mark.parametrize("watch", ["inotify", "polling"])
def test_lost_lease_ends_an_idle_runner(session: RunnerSession, watch: str) -> None:
    process = session.start(NANOCLAW_WATCH=watch)
    process.wait_for_log("runner up")

    session.renew_lease()

    assert process.code() == RunnerExit.TEMPFAIL


def test_answer_that_is_ready_after_the_lease_was_lost_is_not_written(
    session: RunnerSession, tmp_path: Path
) -> None:
    kill = tmp_path / "kill"
    kill.mkdir()
    (kill / "runner.turn_done").write_text("pause")
    message = session.send("hello")
    process = session.start(NANOCLAW_KILL_DIR=str(kill))
    wait_until((kill / "runner.turn_done.reached").exists)

    session.renew_lease()
    (kill / "runner.turn_done.reached").unlink()

    assert process.code() == RunnerExit.TEMPFAIL
    assert session.texts() == []
    assert session.status_of(message) is AckStatus.PROCESSING


def test_idle_runner_leaves_after_its_time(session: RunnerSession) -> None:
    session.configure(idle_exit_seconds=0.3)
    message = session.send("hello")

    process = session.start()

    assert process.code() == RunnerExit.DONE
    assert session.status_of(message) is AckStatus.COMPLETED


def test_idle_time_of_zero_means_never(session: RunnerSession) -> None:
    session.configure(idle_exit_seconds=0)
    session.start()
    session.send("hello")
    session.wait_for_texts(1)

    session.send("still there?")

    session.wait_for_texts(2)


def test_running_turn_is_not_idle(session: RunnerSession) -> None:
    session.configure(
        [{"match": None, "steps": [{"delay_ms": 1500}, {"say": "done"}]}], idle_exit_seconds=0.3
    )
    session.send("work")

    process = session.start()

    assert process.code() == RunnerExit.DONE
    assert session.texts() == ["done"]


def test_unknown_provider_is_told_once_and_leaves_the_message_waiting(
    session: RunnerSession,
) -> None:
    session.configure(provider="oracle")
    message = session.send("hello")

    codes = [session.start().code(), session.start().code()]

    assert codes == [RunnerExit.CONFIG, RunnerExit.CONFIG]
    [text] = session.texts()
    assert "oracle" in text
    assert "scripted" in text
    assert session.messages()[0].in_reply_to == message
    assert session.status_of(message) is None


def test_unusable_script_is_a_configuration_error(session: RunnerSession) -> None:
    session.configure([{"match": "(", "steps": []}])

    assert session.start().code() == RunnerExit.CONFIG
    assert "script" in session.texts()[0]


def test_missing_session_file_means_no_lease_and_no_start(session: RunnerSession) -> None:
    session.paths.session_json.unlink()
    session.send("hello")

    assert session.start().code() == RunnerExit.CONFIG


def test_other_contract_number_is_refused(session: RunnerSession) -> None:
    text = session.paths.session_json.read_text()
    session.paths.session_json.write_text(text.replace('"lease"', '"contract":99,"lease"'))

    assert session.start().code() == RunnerExit.CONFIG


def test_damaged_inbound_file_ends_for_good(session: RunnerSession) -> None:
    session.paths.inbound_db.write_bytes(b"not a database" * 1000)

    process = session.start()

    assert process.code() == RunnerExit.CONFIG
    assert "cannot start" in process.log()


def test_inbound_file_that_is_damaged_while_we_run_ends_for_good(session: RunnerSession) -> None:
    process = session.start()
    process.wait_for_log("runner up")

    session.paths.inbound_db.write_bytes(b"not a database" * 1000)

    assert process.code() == RunnerExit.CONFIG


def test_newer_outbound_file_is_not_touched(session: RunnerSession) -> None:
    with closing(sqlite3.connect(session.paths.outbound_db)) as conn:
        conn.execute(f"PRAGMA user_version = {CONTRACT_VERSION + 1}")
    before = session.paths.outbound_db.read_bytes()
    session.send("hello")

    assert session.start().code() == RunnerExit.CONFIG
    assert session.paths.outbound_db.read_bytes() == before


def test_missing_container_file_is_noted_and_means_defaults(session: RunnerSession) -> None:
    session.paths.container_json.unlink()
    session.send("hello")

    process = session.start()

    assert session.wait_for_texts(1) == ["You said: hello"]
    assert "container.json is missing" in process.log()


def test_file_size_limit_of_the_session_is_in_force(session: RunnerSession) -> None:
    session.configure(limits=SessionLimits(file_bytes=5_000_000))

    process = session.start()
    process.wait_for_log("runner up")

    limits = Path(f"/proc/{process.process.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max file size")]
    assert line.split()[3:5] == ["5000000", "5000000"]


def test_file_size_limit_that_is_hit_leaves_the_message_for_another_try(
    session: RunnerSession,
) -> None:
    session.configure(limits=SessionLimits(file_bytes=1000))
    message = session.send("hello")

    process = session.start()

    process.wait_for_log("cannot be used yet")
    assert process.terminate() == RunnerExit.DONE
    assert session.status_of(message) is None


def test_held_lock_on_the_inbound_file_only_delays(session: RunnerSession) -> None:
    process = session.start()
    process.wait_for_log("runner up")
    with closing(sqlite3.connect(session.paths.inbound_db, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        # A change in the folder wakes the runner, which then meets the lock.
        session.configure()
        holder.execute("ROLLBACK")

    session.send("hello")

    assert session.wait_for_texts(1) == ["You said: hello"]
    assert process.process.poll() is None


def test_journal_left_by_a_killed_host_only_delays(session: RunnerSession) -> None:
    process = session.start()
    session.wait_for_status(session.send("first"), AckStatus.COMPLETED)
    leave_hot_journal(session)
    # The closed write wakes the runner, which may not roll back what it cannot write.
    process.wait_for_log("cannot be read just now")

    session.send("hello")

    assert session.wait_for_texts(2) == ["You said: first", "You said: hello"]


def leave_hot_journal(session: RunnerSession) -> None:
    """As after a kill in mid-transaction: new pages in the file, the old ones in the journal."""
    path = session.paths.inbound_db
    journal = path.with_name("inbound.db-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as host:
        host.execute("PRAGMA cache_size = 1")
        host.execute("BEGIN IMMEDIATE")
        host.executemany(
            "INSERT INTO destinations (name, type) VALUES (?, 'channel')",
            [(f"{n:0200d}",) for n in range(500)],
        )
        database, old_pages = path.read_bytes(), journal.read_bytes()
        host.execute("ROLLBACK")
    # The journal first, as it happens in reality; nothing is ever truncated under the reader.
    copy = path.with_name("journal-copy")
    copy.write_bytes(old_pages)
    copy.rename(journal)
    with path.open("r+b") as file:
        file.write(database)
