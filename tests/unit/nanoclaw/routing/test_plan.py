from datetime import UTC, datetime

import pytest

from contract.address import Address
from contract.errors import BadContent
from contract.inbound.row import NewInbound
from nanoclaw.routing.incoming_files import PlannedFile
from nanoclaw.routing.plan import (
    NOTHING,
    Plan,
    PlannedRow,
    PlannedStatus,
    StatusOf,
    dump_plan,
    parse_plan,
)

NOW = datetime(2026, 11, 21, 8, 0, 0, 123000, tzinfo=UTC)
PLAIN = PlannedRow("sess-1", "ag-1", NewInbound("m:ag", "chat", NOW, '{"text":"x"}'))
FULL = PlannedRow(
    "sess-1",
    "ag-1",
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
    "folder",
    (PlannedFile(1, "file-1", 7, "ab" * 32, "photo.jpg"),),
)
STATUS = PlannedStatus(
    "occasion",
    Address("slack", "C1", "t"),
    (StatusOf("ag-1", None), StatusOf("ag-2", "s")),
    "h",
    "m",
)


@pytest.mark.parametrize(
    "plan",
    [
        NOTHING,
        Plan((PLAIN,)),
        Plan((PLAIN, FULL), taken=("file-1",)),
        Plan(status=STATUS),
        Plan((FULL,), PlannedStatus("o", Address(), ())),
    ],
    ids=["empty", "plain", "full", "status", "both"],
)
def test_plan_survives_the_log(plan: Plan) -> None:
    assert parse_plan(dump_plan(plan)) == plan


def test_plan_of_an_older_program_is_read() -> None:
    text = (
        '{"rows":[{"session":"s","group":"g","id":"i","kind":"chat",'
        '"time":"2026-11-21T08:00:00.123Z","content":"{}","trigger":true,"new":1}]}'
    )

    assert parse_plan(text) == Plan((PlannedRow("s", "g", NewInbound("i", "chat", NOW, "{}")),))


ROW = '"session":"s","group":"g","id":"i","kind":"chat","time":"2026-11-21T08:00:00Z","content":"x"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"rows":[1]}',
        '{"rows":[{"id":"x"}]}',
        '{"rows":[{"time":"never"}]}',
        '{"rows":[],"taken":1}',
        '{"rows":[],"status":{"occasion":"x"}}',
        '{"rows":[],"status":{"occasion":"x","agents":[1]}}',
        f'{{"rows":[{{{ROW},"files":1}}]}}',
        f'{{"rows":[{{{ROW},"files":[[1,"x"]]}}]}}',
    ],
)
def test_damaged_plan_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(BadContent):
        parse_plan(text)
