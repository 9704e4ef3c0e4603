"""Whatever an agent writes: one receipt for each row, and nothing leaves without permission."""

import itertools
from datetime import UTC
from pathlib import Path

import pytest
from helpers.central import make_home
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import AckStatus
from contract.jsontext import dump
from contract.outbound.row import OutboundRow
from nanoclaw.db import agent_groups, deliveries, messaging_groups, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.leak_guard import LeakGuard
from nanoclaw.delivery.receipts import Output, record_output
from nanoclaw.delivery.turn_taint import TurnView
from nanoclaw.model import DeliveryState, NewSession, SessionMode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.one_of(
    TEXT,
    st.sampled_from(["edit", "reaction", "ask_question", "card", "cancel_task", "../x", "hello"]),
)
KEYS = st.sampled_from(
    ["text", "markdown", "files", "operation", "messageId", "emoji", "type", "questionId", "title",
     "question", "options", "card", "children", "actions", "fallbackText", "action", "taskId"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        WORDS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
POISON = [
    '{"operation":"edit","messageId":"1","text":"x","size":1e999}',
    '{"operation":"reaction","messageId":"1","emoji":"x","a":-1e999}',
    '{"text":"x","files":["\\ud800","\\u0000"]}',
    '{"text":"\\ud800"}',
    '{"operation":"edit","messageId":"\\ud800","text":"x"}',
    '{"operation":"reaction","messageId":"\\uDFFF","emoji":"\\ud83d"}',
    '{"type":"ask_question","questionId":"q","title":"\\ud800","question":"?","options":["a"]}',
    '{"type":"ask_question","questionId":"q2","title":"T","question":"?",'
    '"options":[{"label":"a","size":1e999}]}',
    '{"type":"ask_question","questionId":"\\ud800","title":"T","question":"?",'
    '"options":["a"],"timeout":1e999}',
    '{"action":"\\ud800"}',
]
"""What can be read but not written, or is half a character."""
CONTENTS = st.one_of(
    TEXT,
    VALUES.map(dump),
    st.dictionaries(KEYS, VALUES, max_size=6).map(dump),
    st.sampled_from(POISON),
)
ADDRESSES = st.builds(
    Address,
    st.sampled_from([None, "", "cli", "agent", "mail"]),
    st.sampled_from([None, "", "local", "elsewhere", "ag-9"]),
    st.one_of(st.none(), TEXT),
)
ROWS = st.builds(
    OutboundRow,
    id=TEXT.filter(bool),
    seq=st.integers(1, 2**50),
    kind=st.sampled_from(["chat", "chat-sdk", "system", "task", "webhook", "strange"]),
    timestamp=st.none(),
    content=CONTENTS,
    address=ADDRESSES,
    in_reply_to=st.one_of(st.none(), TEXT),
    deliver_after=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
    taint=st.one_of(st.none(), TEXT),
    chain_id=st.none(),
    hop=st.integers(0, 2**50),
)


@pytest.mark.parametrize("guarded", [True, False])
def test_every_hostile_row_ends_in_one_receipt(tmp_path: Path, guarded: bool) -> None:
    config, conn = make_home(tmp_path)
    guard = LeakGuard(conn, config, {})
    (group,) = agent_groups.list_all(conn)
    chat = messaging_groups.find_by_address(conn, "cli", "local")
    assert chat is not None
    numbers = itertools.count()

    @given(st.lists(ROWS, min_size=1, max_size=4))
    @settings(deadline=None, max_examples=150)
    def check(rows: list[OutboundRow]) -> None:
        now = utc_now()
        session_id = f"sess-{next(numbers)}"
        new = NewSession(session_id, group.id, chat.id, None, SessionMode.SHARED, session_id, now)
        session = sessions.create(conn, new)
        acks = {row.in_reply_to or "": AckStatus.COMPLETED for row in rows}
        output = Output(session, tuple(rows), acks, TurnView(), guarded, guard)

        with transaction(conn):
            record_output(conn, output, now)

        for row in rows:
            receipt = deliveries.get(conn, f"{session_id}/{row.id}")
            assert receipt is not None
            if receipt.state is DeliveryState.QUEUED:
                assert (receipt.instance, receipt.platform_id) == ("cli", "local")
            elif receipt.state is DeliveryState.FAILED:
                assert receipt.last_error and not receipt.told

    check()
    conn.close()


@pytest.mark.parametrize("content", POISON)
@pytest.mark.parametrize(("kind", "address"), [
    ("chat", Address("cli", "local")), ("chat", Address("agent", "ag-9")), ("system", Address()),
])  # fmt: skip
def test_poisoned_content_kills_nobody(
    tmp_path: Path, content: str, kind: str, address: Address
) -> None:
    config, conn = make_home(tmp_path)
    guard = LeakGuard(conn, config, {})
    (group,) = agent_groups.list_all(conn)
    chat = messaging_groups.find_by_address(conn, "cli", "local")
    assert chat is not None
    new = NewSession("sess-1", group.id, chat.id, None, SessionMode.SHARED, "key", utc_now())
    session = sessions.create(conn, new)
    row = OutboundRow("out-1", 1, kind, None, content, address, None, None, None, None, 0)

    with transaction(conn):
        record_output(conn, Output(session, (row,), {}, TurnView(), True, guard), utc_now())

    assert deliveries.get(conn, "sess-1/out-1") is not None
    conn.close()
