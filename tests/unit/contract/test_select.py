from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from contract.clock import to_text
from contract.inbound.select import Candidate, PendingQuery, select_batch

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def row(
    seq: int,
    *,
    kind: str = "chat",
    trigger: bool = True,
    on_wake: bool = False,
    after: datetime | str | None = None,
) -> Candidate:
    text = to_text(after) if isinstance(after, datetime) else after
    return Candidate(seq, f"m{seq}", kind, trigger, on_wake, text)


def query(
    *, limit: int = 10, first_poll: bool = False, acked: Collection[str] = ()
) -> PendingQuery:
    return PendingQuery(NOW, limit, first_poll, frozenset(acked))


def test_rows_come_oldest_first_whatever_the_order_of_reading() -> None:
    chosen = select_batch([row(6), row(2), row(4)], query())

    assert chosen.ids == ("m2", "m4", "m6")
    assert not chosen.more


def test_a_backlog_is_worked_off_from_its_old_end() -> None:
    backlog = [row(seq) for seq in range(2, 52, 2)]

    first = select_batch(backlog, query(limit=10))
    second = select_batch(backlog, query(limit=10, acked=first.ids))

    assert first.ids == tuple(f"m{seq}" for seq in range(2, 22, 2))
    assert first.more
    assert second.ids == tuple(f"m{seq}" for seq in range(22, 42, 2))


def test_acknowledged_and_system_rows_take_no_places() -> None:
    rows = [row(2), row(4, kind="system"), row(6), row(8)]

    chosen = select_batch(rows, query(limit=2, acked=["m2"]))

    assert chosen.ids == ("m6", "m8")


def test_context_alone_wakes_nobody() -> None:
    chosen = select_batch([row(2, trigger=False), row(4, trigger=False)], query())

    assert chosen.ids == ()
    assert chosen.omitted == ()


def test_the_newest_context_fills_up_and_older_context_is_named() -> None:
    rows = [row(seq, trigger=False) for seq in (2, 4, 6, 8)] + [row(10)]

    chosen = select_batch(rows, query(limit=3))

    assert chosen.ids == ("m6", "m8", "m10")
    assert chosen.omitted == ("m2", "m4")


def test_context_after_the_last_waking_row_stays_for_later() -> None:
    rows = [row(2, trigger=False), row(4), row(6, trigger=False)]

    chosen = select_batch(rows, query())

    assert chosen.ids == ("m2", "m4")
    assert chosen.omitted == ()


def test_context_between_waking_rows_that_did_not_fit_is_not_lost() -> None:
    rows = [row(2), row(4), row(6, trigger=False), row(8)]

    chosen = select_batch(rows, query(limit=2))

    assert chosen.ids == ("m2", "m4")
    assert chosen.omitted == ()
    assert chosen.more


def test_on_wake_rows_are_for_the_first_poll_only() -> None:
    rows = [row(2), row(4, on_wake=True)]

    assert select_batch(rows, query()).ids == ("m2",)
    assert select_batch(rows, query(first_poll=True)).ids == ("m2", "m4")


def test_on_wake_rows_of_the_first_poll_ignore_the_limit() -> None:
    rows = [row(2), row(4, on_wake=True), row(6, on_wake=True)]

    chosen = select_batch(rows, query(limit=1, first_poll=True))

    assert chosen.ids == ("m4", "m6")
    assert chosen.more


def test_an_on_wake_row_that_does_not_wake_waits_for_one_that_does() -> None:
    note = row(2, on_wake=True, trigger=False)

    assert select_batch([note], query(first_poll=True)).ids == ()
    assert select_batch([note, row(4)], query(first_poll=True)).ids == ("m2", "m4")


def test_future_rows_wait_and_say_until_when() -> None:
    soon, late = NOW + timedelta(seconds=5), NOW + timedelta(hours=1)
    rows = [row(2, after=late), row(4, after=soon), row(6, after=soon, trigger=False)]

    chosen = select_batch(rows, query())

    assert chosen.ids == ()
    assert chosen.next_due_at == soon


def test_past_times_of_every_form_are_due() -> None:
    rows = [
        row(2, after=NOW),
        row(4, after="2026-11-21 07:59:59"),
        row(6, after="2026-11-21T09:59:59+0200"),
    ]

    assert select_batch(rows, query()).ids == ("m2", "m4", "m6")


def test_a_time_nobody_can_read_never_comes() -> None:
    chosen = select_batch([row(2, after="tomorrow")], query())

    assert chosen.ids == ()
    assert chosen.next_due_at is None
