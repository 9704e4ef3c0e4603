from datetime import UTC, datetime

import pytest

from contract.address import Address
from contract.errors import BadContent
from contract.inbound.row import NewInbound
from nanoclaw.routing.plan import PlannedRow, dump_plan, parse_plan

NOW = datetime(2026, 11, 21, 8, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    "row",
    [
        NewInbound("m:ag", "chat", NOW, '{"text":"x"}'),
        NewInbound(
            "m:ag",
            "chat",
            NOW,
            "{}",
            Address("slack", "C1", "t"),
            trigger=False,
            taint="web",
            reply_hint="hint",
            platform_message_id="m",
            event_key="k",
        ),
    ],
    ids=["plain", "full"],
)
def test_plan_survives_the_log(row: NewInbound) -> None:
    planned = (PlannedRow("sess-1", "ag-1", row),)

    assert parse_plan(dump_plan(planned)) == planned


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"rows":[1]}', '{"rows":[{"id":"x"}]}', '{"rows":[{"time":"never"}]}'],
)
def test_damaged_plan_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(BadContent):
        parse_plan(text)
