from datetime import UTC, datetime

import pytest

from contract.address import Address
from contract.content import MAX_OUTBOUND_BYTES
from contract.inbound.row import AckStatus
from contract.outbound.row import Ack, ContainerState, OutboundRow
from contract.outbound.rows import MAX_SEQ, ack, container_state, outbound_row, shown

MOMENT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
MESSAGE: dict[str, object] = {
    "id": b"msg-1",
    "seq": 3,
    "in_reply_to": b"m2",
    "timestamp": b"2026-11-21T08:00:00.000Z",
    "deliver_after": None,
    "kind": b"chat",
    "platform_id": b"telegram:1",
    "channel_type": b"telegram",
    "thread_id": None,
    "content": '{"text":"Grüße"}'.encode(),
    "taint": b"web",
    "chain_id": b"c1",
    "hop": 2,
}
CLAIM: dict[str, object] = {
    "message_id": b"m2",
    "status": b"processing",
    "status_changed": b"2026-11-21 08:00:00",
    "lease": 7,
    "tries": 1,
}
TOOL: dict[str, object] = {
    "current_tool": b"Bash",
    "tool_declared_timeout_ms": 60000,
    "tool_started_at": b"2026-11-21T08:00:00.000Z",
    "updated_at": b"never",
}


def test_a_message_becomes_typed() -> None:
    assert outbound_row(MESSAGE) == OutboundRow(
        id="msg-1",
        seq=3,
        kind="chat",
        timestamp=MOMENT,
        content='{"text":"Grüße"}',
        address=Address("telegram", "telegram:1", None),
        in_reply_to="m2",
        deliver_after=None,
        taint="web",
        chain_id="c1",
        hop=2,
    )


def test_columns_that_an_older_file_lacks_take_their_defaults() -> None:
    old = {key: MESSAGE[key] for key in MESSAGE if key not in ("taint", "chain_id", "hop")}

    row = outbound_row(old)

    assert row is not None
    assert (row.taint, row.chain_id, row.hop) == (None, None, 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", None),
        ("id", b""),
        ("id", 5),
        ("id", b"x" * 300),
        ("id", b"\xff\xfe"),
        ("seq", None),
        ("seq", 0),
        ("seq", -1),
        ("seq", 1.5),
        ("seq", b"3"),
        ("seq", MAX_SEQ + 1),
        ("kind", None),
        ("kind", b"x" * 33),
        ("content", None),
        ("content", b""),
        ("platform_id", 7),
        ("thread_id", b"x" * 2000),
        ("hop", b"1"),
        ("hop", -1),
    ],
)
def test_a_message_with_a_wrong_value_is_left_out(column: str, value: object) -> None:
    assert outbound_row({**MESSAGE, column: value}) is None


def test_a_message_that_is_too_long_is_known_by_its_empty_content() -> None:
    row = outbound_row({**MESSAGE, "content": b"x" * (MAX_OUTBOUND_BYTES + 1)})

    assert row is not None
    assert row.content == ""


@pytest.mark.parametrize("value", [5, b"tomorrow", b"\xff"])
def test_a_time_nobody_can_read_means_now(value: object) -> None:
    row = outbound_row({**MESSAGE, "deliver_after": value})

    assert row is not None
    assert row.deliver_after is None


def test_a_claim_becomes_typed() -> None:
    assert ack(CLAIM) == Ack("m2", AckStatus.PROCESSING, MOMENT, 7, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [("message_id", None), ("status", b"maybe"), ("status", 5), ("lease", b"7"), ("tries", 1.5)],
)
def test_a_claim_with_a_wrong_value_is_left_out(column: str, value: object) -> None:
    assert ack({**CLAIM, column: value}) is None


def test_the_running_tool_becomes_typed() -> None:
    assert container_state(TOOL) == ContainerState("Bash", 60000, MOMENT, None)


def test_a_running_tool_with_a_wrong_value_is_no_tool() -> None:
    assert container_state({**TOOL, "tool_declared_timeout_ms": b"long"}) is None


def test_names_from_the_file_can_be_shown() -> None:
    assert shown(b"table\xff") == "table\ufffd"
    assert shown(7) == "7"
