from dataclasses import dataclass

import pytest

from contract.address import Address
from runner.complaints import LASTING_AFTER, QUIET_SECONDS, Complaints
from runner.errors import Trouble

CHAT = Address("slack", "C1", "t-1")
PEER = Address("agent", "ag-2")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def told_after(trouble: Trouble, address: Address, turns: int) -> list[bool]:
    complaints = Complaints(Clock())
    told = []
    for _ in range(turns):
        complaints.turn_failed(trouble)
        told.append(not complaints.is_tiresome(address))
        complaints.note(address)
    return told


def test_people_are_told_of_every_passing_trouble() -> None:
    assert told_after(Trouble.NETWORK, CHAT, 6) == [True] * 6


def test_other_agent_is_told_once() -> None:
    assert told_after(Trouble.NETWORK, PEER, 3) == [True, False, False]


@pytest.mark.parametrize("trouble", [Trouble.AUTH, Trouble.BILLING, Trouble.CONFIG])
def test_operators_trouble_is_told_three_times_and_then_rests(trouble: Trouble) -> None:
    assert told_after(trouble, CHAT, LASTING_AFTER + 2) == [True] * LASTING_AFTER + [False] * 2


def test_after_ten_minutes_it_is_told_again_and_threads_are_one_chat() -> None:
    clock = Clock()
    complaints = Complaints(clock)
    for _ in range(LASTING_AFTER + 1):
        complaints.turn_failed(Trouble.AUTH)
    complaints.note(CHAT)

    assert complaints.is_tiresome(Address("slack", "C1", "t-2"))
    clock.now = QUIET_SECONDS
    assert not complaints.is_tiresome(CHAT)


def test_turn_that_went_well_ends_the_count() -> None:
    complaints = Complaints(Clock())
    for _ in range(LASTING_AFTER + 1):
        complaints.turn_failed(Trouble.AUTH)
    complaints.note(CHAT)

    complaints.turn_went_well()

    assert not complaints.is_tiresome(CHAT)


def test_that_the_days_money_is_spent_is_told_once_per_chat_until_something_works() -> None:
    clock = Clock()
    complaints = Complaints(clock)

    def told(address: Address) -> bool:
        clock.now += QUIET_SECONDS
        complaints.turn_failed(Trouble.DAY_LIMIT)
        tiresome = complaints.is_tiresome(address)
        if not tiresome:
            complaints.note(address)
        return not tiresome

    other = Address("slack", "C2")
    assert [told(CHAT), told(CHAT), told(other), told(CHAT)] == [True, False, True, False]
    complaints.turn_went_well()
    assert told(CHAT)
