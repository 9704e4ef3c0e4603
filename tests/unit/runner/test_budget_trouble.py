"""What the vault's refusals become in the runner, and whose budget a prompt counts for."""

import pytest

from contract.address import AGENT_CHANNEL, Address
from runner.complaints import Complaints
from runner.errors import Trouble
from runner.providers.claude.errors import CallClass, Refusal, classify, read_body

CHAT = Address("telegram", "1")


@pytest.mark.parametrize(
    ("status", "code", "kind", "trouble"),
    [
        (402, "budget_used_up", CallClass.BUDGET, Trouble.BUDGET),
        (402, "budget_told", CallClass.BUDGET_TOLD, Trouble.BUDGET_TOLD),
        (403, "model_not_allowed", CallClass.MODEL, Trouble.CONFIG),
        (402, "", CallClass.BILLING, Trouble.BILLING),
    ],
)
def test_code_of_the_vault_decides(
    status: int, code: str, kind: CallClass, trouble: Trouble
) -> None:
    body = {
        "type": "error",
        "error": {
            "type": "billing_error" if status == 402 else "permission_error",
            "message": "the budget is used up",
            "details": {"error_code": code},
        },
    }

    error = classify(Refusal(status, *read_body(body)))

    assert (error.kind, error.trouble) == (kind, trouble)
    assert error.shown == ("the budget is used up" if kind is CallClass.BUDGET else "")


def test_chat_that_the_host_tells_is_not_told_twice_but_an_agent_is() -> None:
    complaints = Complaints(lambda: 0.0)

    complaints.turn_failed(Trouble.BUDGET_TOLD)

    assert complaints.is_tiresome(CHAT)
    assert not complaints.is_tiresome(Address(AGENT_CHANNEL, "ag-2"))


def test_chat_that_nobody_else_tells_is_told_once_until_something_works() -> None:
    complaints = Complaints(lambda: 0.0)

    complaints.turn_failed(Trouble.BUDGET)
    assert not complaints.is_tiresome(CHAT)
    complaints.note(CHAT)
    complaints.turn_failed(Trouble.BUDGET)
    assert complaints.is_tiresome(CHAT)
    complaints.turn_went_well()
    complaints.turn_failed(Trouble.BUDGET)
    assert not complaints.is_tiresome(CHAT)
