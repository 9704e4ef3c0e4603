from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address
from contract.content import MAX_OUTBOUND_BYTES
from contract.errors import BadContent
from contract.outbound.row import OutboundRow
from nanoclaw.effects.request import AgentRequest, dump_request, parse_request

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def row(content: str, taint: str | None = None) -> OutboundRow:
    return OutboundRow(
        id="out-1",
        seq=3,
        kind="system",
        timestamp=NOW,
        content=content,
        address=Address("agent", "ag-2", None),
        in_reply_to="in-1",
        deliver_after=None,
        taint=taint,
        chain_id="c",
        hop=2,
    )


@settings(deadline=None, max_examples=50)
@given(content=st.text(max_size=200), taint=st.one_of(st.none(), st.just("web,mail")))
def test_a_row_comes_back_as_it_was(content: str, taint: str | None) -> None:
    text = dump_request(row(content, taint))

    assert parse_request(text) == AgentRequest(
        id="out-1",
        content=content,
        kind="system",
        seq=3,
        address=Address("agent", "ag-2", None),
        in_reply_to="in-1",
        taint=taint,
        chain_id="c",
        hop=2,
    )


def test_what_the_host_knows_of_the_turn_wins() -> None:
    assert parse_request(dump_request(row("{}", None), "web")).taint == "web"


def test_what_an_agent_writes_inside_changes_nothing_outside() -> None:
    request = parse_request(dump_request(row('{"taint":null,"hop":0}', "web")))

    assert (request.taint, request.hop) == ("web", 2)


def test_content_of_any_size_can_be_read_back() -> None:
    full = '"' * MAX_OUTBOUND_BYTES

    assert parse_request(dump_request(row(full))).content == full
    assert parse_request(dump_request(row(full + "x"))).content == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id":"x"}', '{"content":"x"}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadContent):
        parse_request(text)
