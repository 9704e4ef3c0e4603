import pytest

from nanoclaw.approvals.decide import (
    ClosingDecision,
    GiveUp,
    LeaveIt,
    LookAgain,
    NothingToClose,
    SayOutcome,
    SearchDecision,
    SearchFacts,
    ShowOutcome,
    WaitForDelivery,
    decide_after_search,
    decide_closing,
    retry_seconds,
)
from nanoclaw.model import DeliveryState


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (SearchFacts(), GiveUp("there is nobody who may decide")),
        (
            SearchFacts(refused=("blocked",)),
            GiveUp("nobody who may decide can be reached (blocked)"),
        ),
        (SearchFacts(away=("down",)), LookAgain("down")),
        (SearchFacts(away=("down",), refused=("blocked",)), LookAgain("down")),
        (SearchFacts(refused=("has it",), open_copies=1), LeaveIt()),
        (SearchFacts(away=("down",), open_copies=1), LeaveIt()),
    ],
    ids=["nobody", "refused", "down", "one is down", "somebody has it", "one has it, one is down"],
)
def test_w39_search_in_vain_ends_or_goes_on(facts: SearchFacts, expected: SearchDecision) -> None:
    assert decide_after_search(facts) == expected


def test_delay_grows_and_stays_bounded() -> None:
    delays = [retry_seconds(attempts) for attempts in range(10)]

    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (1, 300)


@pytest.mark.parametrize(
    ("state", "ids", "expected"),
    [
        (None, (), NothingToClose()),
        (DeliveryState.FAILED, ("m1",), NothingToClose()),
        (DeliveryState.QUEUED, (), WaitForDelivery()),
        (DeliveryState.SENDING, (), WaitForDelivery()),
        (DeliveryState.SENT, ("m1", "m2"), ShowOutcome("m2")),
        (DeliveryState.SENT, (), SayOutcome()),
        (DeliveryState.UNCERTAIN, (), SayOutcome()),
    ],
)
def test_copy_is_closed_by_what_is_known_of_it(
    state: DeliveryState | None, ids: tuple[str, ...], expected: ClosingDecision
) -> None:
    assert decide_closing(state, ids) == expected
