import re

import pytest
from helpers.runner_rows import FAMILY, NOON, chat, incoming, make_row

from contract.address import Address
from contract.content import ChatOut, parse_outbound
from contract.jsontext import parse_object
from runner.answer import (
    TEXTS,
    Source,
    Told,
    answer_rows,
    claim_change,
    current_batch,
    trouble_row,
)
from runner.decide import CommandReply, TurnPlan
from runner.errors import Trouble
from runner.providers.base import Origin
from runner.reply import Outgoing, ReplyPlan

PEER = Address("agent", "ag-2")


def test_answer_carries_chain_and_taint_of_what_it_answers() -> None:
    items = incoming(
        make_row("m-1", "page", taint="web", trigger=False),
        make_row("m-2", "ask", address=PEER, taint="agent", chain_id="c-1", hop=2),
    )
    plan = ReplyPlan((Outgoing(PEER, "yes", "m-2"), Outgoing(FAMILY, "done", None)))

    to_peer, to_family = answer_rows(plan, items, NOON, Source(taint=frozenset({"mcp"})))

    assert (to_peer.chain_id, to_peer.hop, to_peer.taint) == ("c-1", 2, "agent,mcp,web")
    assert (to_family.chain_id, to_family.hop, to_family.taint) == (None, 0, "agent,mcp,web")
    assert parse_outbound(to_peer.kind, to_peer.content) == ChatOut(text="yes")


def test_claim_settles_what_is_passed_over_and_answers_commands() -> None:
    [item] = chat("hello")
    command = make_row("c-1", "/clear")
    asked = incoming(make_row("c-2", "/cost"))
    plan = TurnPlan(
        (item,), ("c-1", "old"), replies=(CommandReply(command, "Done."),), commands=asked
    )

    change = claim_change(plan, NOON)

    assert (change.claim, change.complete) == (("m-1", "c-2"), ("c-1", "old"))
    assert [(row.in_reply_to, row.address) for row in change.messages] == [("c-1", FAMILY)]


def test_current_batch_names_what_is_being_answered() -> None:
    batch = parse_object(current_batch(chat("a", "b")), max_bytes=1000)

    assert batch == {
        "in_reply_to": "m-2",
        "channel_type": "telegram",
        "platform_id": "77",
        "thread_id": None,
        "ids": ["m-1", "m-2"],
        "taint": None,
    }


@pytest.mark.parametrize("trouble", list(Trouble))
def test_every_trouble_has_a_sentence(trouble: Trouble) -> None:
    row = trouble_row(Told(trouble, "err-1"), make_row(), NOON)

    content = parse_outbound(row.kind, row.content)
    assert isinstance(content, ChatOut)
    assert content.text.startswith("Error: ")
    assert content.text.endswith(".")
    assert TEXTS[trouble] in content.text


def test_what_may_be_shown_of_a_trouble_stands_on_the_same_line() -> None:
    row = trouble_row(Told(Trouble.QUOTA, shown="It ends\nat noon."), make_row(), NOON)

    content = parse_outbound(row.kind, row.content)
    assert isinstance(content, ChatOut)
    assert content.text == f"Error: {TEXTS[Trouble.QUOTA]} It ends at noon."


def test_same_answer_said_again_has_the_same_ids_and_another_has_not() -> None:
    plan = ReplyPlan((Outgoing(FAMILY, "a", None, 0), Outgoing(FAMILY, "b", None, 1)))

    def ids(seed: str) -> list[str]:
        return [row.id for row in answer_rows(plan, chat("x"), NOON, Source(Origin(seed, NOON)))]

    assert ids("nc1-x/7") == ids("nc1-x/7")
    assert len({*ids("nc1-x/7"), *ids("nc1-x/8")}) == 4
    assert all(re.fullmatch(r"msg-\d{13}-[0-9a-z]{6}", one) for one in ids("nc1-x/7"))
