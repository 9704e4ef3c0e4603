import pytest

from contract.address import Address
from contract.errors import SessionFileBusy
from runner.complaints import MAX_REMEMBERED, QUIET_SECONDS, Complaints
from runner.errors import GiveUpError
from runner.patience import FAILURE_WINDOW_SECONDS, TRANSIENT_LIMIT_SECONDS, Patience

BUSY = SessionFileBusy("inbound.db", "SQLITE_BUSY")
PEER = Address("agent", "ag-2")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_busy_file_is_put_up_with_for_five_minutes() -> None:
    clock = Clock()
    patience = Patience(clock)

    patience.transient(BUSY)
    clock.now += TRANSIENT_LIMIT_SECONDS - 1
    patience.transient(BUSY)
    clock.now += 1

    with pytest.raises(GiveUpError):
        patience.transient(BUSY)


def test_one_good_pass_forgets_that_the_file_was_busy() -> None:
    clock = Clock()
    patience = Patience(clock)
    patience.transient(BUSY)
    clock.now += TRANSIENT_LIMIT_SECONDS

    patience.good()

    patience.transient(BUSY)


def test_fifth_failure_in_a_row_within_a_minute_is_the_last() -> None:
    patience = Patience(Clock())
    for _ in range(4):
        patience.failure(ValueError("x"))

    with pytest.raises(GiveUpError):
        patience.failure(ValueError("x"))


def test_failures_far_apart_are_put_up_with() -> None:
    clock = Clock()
    patience = Patience(clock)

    for _ in range(20):
        patience.failure(ValueError("x"))
        clock.now += FAILURE_WINDOW_SECONDS / 4


def test_agent_is_spared_a_second_complaint_for_ten_minutes() -> None:
    clock = Clock()
    complaints = Complaints(clock)

    assert not complaints.is_tiresome(PEER)
    complaints.note(PEER)
    assert complaints.is_tiresome(PEER)
    assert not complaints.is_tiresome(Address("agent", "ag-3"))
    clock.now += QUIET_SECONDS
    assert not complaints.is_tiresome(PEER)


def test_people_are_always_told() -> None:
    complaints = Complaints(Clock())
    person = Address("telegram", "77")

    complaints.note(person)

    assert not complaints.is_tiresome(person)


def test_memory_of_complaints_is_bounded() -> None:
    complaints = Complaints(Clock())
    complaints.note(PEER)

    for number in range(MAX_REMEMBERED):
        complaints.note(Address("agent", f"other-{number}"))

    assert not complaints.is_tiresome(PEER)
