from datetime import UTC, datetime

import pytest

from runner.providers.base import Origin
from runner.providers.claude.conversation import FinalAnswer, Turn
from runner.providers.claude.records import TurnStatus
from runner.providers.claude.redelivery import (
    AlreadyAnswered,
    Fresh,
    Interrupted,
    Overlap,
    decide_redelivery,
)

FINAL = FinalAnswer("done", Origin("nc1-x:7", datetime(2026, 11, 25, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("ids", "turns", "expected"),
    [
        ((), (Turn(("a",)),), Fresh),
        (("a",), (), Fresh),
        (("b",), (Turn(("a",)),), Fresh),
        (("a",), (Turn(("a", "b")),), Interrupted),
        (("a", "b"), (Turn(("a", "b"), TurnStatus.ERROR),), Interrupted),
        (("a",), (Turn(("a",), TurnStatus.REFUSED),), Fresh),
        (("a",), (Turn(("a",), TurnStatus.STOPPED),), Fresh),
        (("a",), (Turn(("a",), None, FINAL),), AlreadyAnswered),
        (("a",), (Turn(("a",), TurnStatus.OK, FINAL),), AlreadyAnswered),
        (("a",), (Turn(("a",), TurnStatus.OK, FINAL), Turn(("b",))), AlreadyAnswered),
        (("a", "c"), (Turn(("a",)),), Overlap),
        (("a", "c"), (Turn(("a",), None, FINAL),), Overlap),
        (("a", "b"), (Turn(("a",), TurnStatus.OK, FINAL), Turn(("b",))), Overlap),
    ],
)
def test_batch_that_was_seen_before(
    ids: tuple[str, ...], turns: tuple[Turn, ...], expected: type
) -> None:
    assert isinstance(decide_redelivery(ids, turns), expected)


def test_stored_answer_goes_out_when_new_messages_came_with_the_old() -> None:
    decision = decide_redelivery(("a", "c"), (Turn(("a",), None, FINAL),))

    assert isinstance(decision, Overlap)
    assert decision.final == FINAL
