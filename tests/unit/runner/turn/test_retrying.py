from dataclasses import dataclass

from runner.turn.retrying import AFTER_SECONDS, LONGEST_PAUSE_SECONDS, Retrying


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def failures(retrying: Retrying, clock: Clock, *moments: float) -> list[bool]:
    told = []
    for moment in moments:
        clock.now = moment
        told.append(retrying.is_worth_a_word())
    return told


def test_only_a_minute_of_failures_is_worth_a_word_and_only_one() -> None:
    clock = Clock()

    told = failures(Retrying(clock), clock, 0, 30, AFTER_SECONDS - 1, AFTER_SECONDS, 90, 200)

    assert told == [False, False, False, True, False, False]


def test_something_that_came_through_begins_the_minute_anew() -> None:
    clock = Clock()
    retrying = Retrying(clock)
    failures(retrying, clock, 0, 50)

    retrying.reset()

    assert failures(retrying, clock, 70, 100) == [False, False]


def test_failures_far_apart_are_not_one_spell() -> None:
    clock = Clock()

    told = failures(Retrying(clock), clock, 0, LONGEST_PAUSE_SECONDS + 1)

    assert told == [False, False]


def test_next_turn_may_say_it_again() -> None:
    clock = Clock()
    retrying = Retrying(clock)
    assert failures(retrying, clock, 0, 60) == [False, True]

    retrying.turn_ended()

    assert failures(retrying, clock, 100, 170) == [False, True]
