import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import (
    NOW,
    add_session,
    new_delivery,
    new_session,
    reread,
    seconds,
    seed,
)

from nanoclaw.db import approvals, deliveries, effects, sessions
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.effects import NewEffect
from nanoclaw.model import ContainerStart, DeliveryState, SessionMode, SessionStatus

START = ContainerStart("c0ffee", NOW, "1.0.0")
TTL = seconds(30)


def due_ids(conn: sqlite3.Connection, at: float = 0) -> list[str]:
    return [session.id for session in sessions.due(conn, NOW + seconds(at), 100)]


def test_created_session_is_found_by_its_key(conn: sqlite3.Connection) -> None:
    session = seed(conn).session

    assert sessions.find_active(conn, "key-1") == session
    assert session.mode is SessionMode.SHARED
    assert not session.is_running


def test_creating_a_session_for_a_taken_key_gives_the_one_that_exists(
    conn: sqlite3.Connection,
) -> None:
    first = seed(conn).session

    second = sessions.create(conn, new_session("sess-2", "key-1"))

    assert second == first
    assert sessions.get(conn, "sess-2") is None


def test_sessions_without_a_key_do_not_meet(conn: sqlite3.Connection) -> None:
    seed(conn)

    one = sessions.create(conn, new_session("sess-2", None))
    other = sessions.create(conn, new_session("sess-3", None))

    assert one.id != other.id


def test_session_of_an_unknown_agent_group_is_refused(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        sessions.create(conn, new_session())


def test_due_gives_waiting_sessions_longest_first(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    sessions.mark_due(conn, "sess-1", NOW - seconds(1))
    sessions.mark_due(conn, "sess-2", NOW - seconds(5))

    assert due_ids(conn) == ["sess-2", "sess-1"]
    assert [session.id for session in sessions.due(conn, NOW, 1)] == ["sess-2"]


def test_session_is_not_due_before_its_time(conn: sqlite3.Connection) -> None:
    seed(conn)
    sessions.wake_at(conn, "sess-1", NOW + seconds(10))

    assert due_ids(conn, 9) == []
    assert due_ids(conn, 10) == ["sess-1"]
    assert sessions.next_due_at(conn) == NOW + seconds(10)


def test_marking_due_keeps_the_earlier_time_and_tells_of_traffic(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)
    sessions.mark_due(conn, session.id, NOW + seconds(60))

    later = reread(conn, session)

    assert later.next_due_at == NOW
    assert later.last_active == NOW + seconds(60)
    assert later.due_epoch == 2


def test_marking_due_says_whether_somebody_has_to_be_woken(conn: sqlite3.Connection) -> None:
    session = seed(conn).session

    assert sessions.mark_due(conn, session.id, NOW)
    sessions.set_running(conn, session.id, START)
    assert not sessions.mark_due(conn, session.id, NOW)
    assert not sessions.mark_due(conn, "sess-gone", NOW)


def test_work_planned_for_later_is_no_traffic(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.wake_at(conn, session.id, NOW + seconds(60))

    assert reread(conn, session).last_active is None


def test_settling_loses_against_work_that_came_in_meanwhile(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)
    seen = reread(conn, session).due_epoch
    sessions.mark_due(conn, session.id, NOW)

    assert not sessions.settle_due(conn, session.id, seen, None)
    assert reread(conn, session).next_due_at == NOW


def test_settling_sets_the_next_time_or_none(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)

    assert sessions.settle_due(conn, session.id, 1, NOW + seconds(60))
    assert reread(conn, session).next_due_at == NOW + seconds(60)
    assert sessions.settle_due(conn, session.id, 1, None)
    assert sessions.next_due_at(conn) is None


def test_running_session_is_not_due_until_it_stops(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)

    sessions.set_running(conn, session.id, START)
    running = reread(conn, session)

    assert due_ids(conn) == []
    assert sessions.next_due_at(conn) is None
    assert sessions.running(conn) == [running]
    assert running.is_running
    assert (running.container_id, running.container_started_at) == ("c0ffee", NOW)

    sessions.set_stopped(conn, session.id)

    assert due_ids(conn) == ["sess-1"]
    assert sessions.running(conn) == []
    assert reread(conn, session).container_id is None


def test_session_whose_container_failed_waits_for_its_retry(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)
    sessions.record_container_failure(conn, session.id, "no image", NOW + seconds(30))
    failed = reread(conn, session)

    assert (failed.container_failures, failed.container_error) == (1, "no image")
    assert due_ids(conn, 29) == []
    assert sessions.next_due_at(conn) == NOW + seconds(30)
    assert due_ids(conn, 30) == ["sess-1"]

    sessions.clear_container_failure(conn, session.id)

    assert due_ids(conn) == ["sess-1"]
    assert reread(conn, session).container_failures == 0


def test_next_due_time_is_the_earliest_of_waiting_and_failing_sessions(
    conn: sqlite3.Connection,
) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    sessions.mark_due(conn, "sess-1", NOW)
    sessions.record_container_failure(conn, "sess-1", "no engine", NOW + seconds(5))
    sessions.wake_at(conn, "sess-2", NOW + seconds(60))

    assert sessions.next_due_at(conn) == NOW + seconds(5)


def test_quarantined_session_is_never_due(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_due(conn, session.id, NOW)
    sessions.quarantine(conn, session.id, "corrupt", NOW)
    sessions.quarantine(conn, session.id, "another reason", NOW + seconds(1))

    assert due_ids(conn) == []
    assert sessions.next_due_at(conn) is None
    assert [item.quarantine_reason for item in sessions.quarantined(conn)] == ["corrupt"]

    sessions.release_quarantine(conn, session.id)

    assert due_ids(conn) == ["sess-1"]


def test_deaths_are_counted_and_forgotten(conn: sqlite3.Connection) -> None:
    seed(conn)

    assert sessions.record_death(conn, "sess-1") == 1
    assert sessions.record_death(conn, "sess-1") == 2
    sessions.clear_deaths(conn, "sess-1")
    assert sessions.record_death(conn, "sess-1") == 1
    assert sessions.record_death(conn, "nobody") == 0


def test_dirty_sessions_are_found_until_looked_at(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.mark_dirty(conn, session.id)
    sessions.set_out_seq(conn, session.id, 7)

    assert [(item.id, item.out_seq) for item in sessions.dirty(conn)] == [("sess-1", 7)]
    sessions.clear_dirty(conn, session.id)
    assert sessions.dirty(conn) == []


def test_lease_is_refused_while_another_owner_holds_it(conn: sqlite3.Connection) -> None:
    seed(conn)

    assert sessions.acquire_lease(conn, "sess-1", "host-a", NOW, TTL) == 1
    assert sessions.acquire_lease(conn, "sess-1", "host-b", NOW + seconds(29), TTL) is None
    assert sessions.acquire_lease(conn, "sess-1", "host-b", NOW + seconds(30), TTL) == 2


def test_owner_gets_a_higher_token_each_time(conn: sqlite3.Connection) -> None:
    seed(conn)

    tokens = [sessions.acquire_lease(conn, "sess-1", "host-a", NOW, TTL) for _ in range(3)]

    assert tokens == [1, 2, 3]


def test_lease_of_an_unknown_session_is_refused(conn: sqlite3.Connection) -> None:
    assert sessions.acquire_lease(conn, "nobody", "host-a", NOW, TTL) is None


def test_renewing_leases_says_which_were_lost(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    sessions.acquire_lease(conn, "sess-1", "host-a", NOW, TTL)
    sessions.acquire_lease(conn, "sess-2", "host-b", NOW, TTL)

    kept = sessions.renew_leases(conn, "host-a", ["sess-1", "sess-2"], NOW + seconds(90))

    assert kept == {"sess-1"}
    assert sessions.acquire_lease(conn, "sess-1", "host-b", NOW + seconds(60), TTL) is None


def test_only_the_newest_token_releases_a_lease(conn: sqlite3.Connection) -> None:
    session = seed(conn).session
    sessions.acquire_lease(conn, session.id, "host-a", NOW, TTL)
    sessions.acquire_lease(conn, session.id, "host-a", NOW, TTL)

    assert not sessions.release_lease(conn, session.id, 1)
    assert sessions.release_lease(conn, session.id, 2)
    assert not sessions.release_lease(conn, session.id, 2)
    assert sessions.acquire_lease(conn, session.id, "host-b", NOW, TTL) == 3


def test_closed_session_is_reopened_under_its_key(conn: sqlite3.Connection) -> None:
    session = seed(conn).session

    assert sessions.close(conn, session.id, NOW)
    assert sessions.find_active(conn, "key-1") is None
    closed = sessions.find_closed(conn, "key-1")
    assert closed is not None
    assert closed.status is SessionStatus.CLOSED
    assert sessions.reopen(conn, session.id)
    assert sessions.find_active(conn, "key-1") == session


def test_session_with_work_or_a_container_is_not_closed(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    sessions.wake_at(conn, "sess-1", NOW + seconds(60))
    sessions.set_running(conn, "sess-2", START)

    assert not sessions.close(conn, "sess-1", NOW)
    assert not sessions.close(conn, "sess-2", NOW)


@pytest.mark.parametrize("what", ["held message", "open approval", "effect"])
def test_session_that_something_will_come_back_to_is_not_closed(
    conn: sqlite3.Connection, what: str
) -> None:
    session = seed(conn).session
    if what == "held message":
        new = replace(new_delivery(), session_id=session.id, state=DeliveryState.HELD)
        deliveries.queue(conn, replace(new, waits_for="appr-1"))
    elif what == "open approval":
        approval = Approval("appr-1", "r-1", "x", "{}", NOW, status=ApprovalStatus.PENDING)
        approvals.insert(conn, replace(approval, session_id=session.id))
    else:
        effects.record(conn, NewEffect("e-1", "x", "host", "{}", "h", NOW, session_id=session.id))

    assert not sessions.close(conn, session.id, NOW)

    conn.execute("UPDATE deliveries SET state = 'failed'")
    conn.execute("UPDATE pending_approvals SET status = 'rejected'")
    conn.execute("UPDATE effects SET state = 'done'")
    assert sessions.close(conn, session.id, NOW)


def test_closed_session_is_not_due_and_not_listed_as_active(conn: sqlite3.Connection) -> None:
    seed(conn)
    add_session(conn, "sess-2")
    sessions.close(conn, "sess-2", NOW)
    sessions.mark_due(conn, "sess-2", NOW)

    assert due_ids(conn) == []
    assert [item.id for item in sessions.active_of_group(conn, "ag-1")] == ["sess-1"]
    assert {item.id for item in sessions.list_all(conn, 10)} == {"sess-1", "sess-2"}


@pytest.mark.parametrize(
    ("column", "value"),
    [("mode", "odd"), ("out_dirty", 2)],
)
def test_schema_refuses_words_it_does_not_know(
    conn: sqlite3.Connection, column: str, value: object
) -> None:
    seed(conn)

    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(f"UPDATE sessions SET {column} = ?", (value,))
