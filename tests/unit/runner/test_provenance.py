from helpers.runner_rows import FAMILY, incoming, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address
from runner.answer import batch_taint
from runner.provenance import (
    MAX_TAINT,
    Provenance,
    joined_taint,
    provenance_of,
    taint_words,
)

PEER = Address("agent", "ag-2")


def test_all_rows_give_their_taint_in_the_order_of_the_alphabet() -> None:
    rows = (make_row("a", taint="web"), make_row("b", taint="mail, web"), make_row("c"))

    assert provenance_of(rows, {"mcp"}).taint == "mail,mcp,web"


def test_newest_message_of_an_agent_gives_the_chain_to_agents_only() -> None:
    rows = (
        make_row("a", seq=2, address=PEER, chain_id="c-1", hop=2),
        make_row("b", seq=8, address=PEER, chain_id="c-2", hop=5),
        make_row("c", seq=6, address=PEER, chain_id="c-3", hop=9),
        make_row("d", seq=10, taint="mail"),
    )

    found = provenance_of(rows)

    assert found.to(PEER) == Provenance("mail", "c-2", 5)
    assert found.to(FAMILY) == Provenance("mail", None, 0)


def test_note_of_the_host_does_not_begin_the_chain_anew() -> None:
    rows = (
        make_row("a", seq=2, address=PEER, chain_id="c-1", hop=2),
        make_row("n", seq=4, address=Address("agent", "ag-1")),
    )

    assert provenance_of(rows).to(PEER) == Provenance(None, "c-1", 2)


def test_nothing_carries_nothing_on() -> None:
    assert provenance_of(()) == Provenance(None, None, 0)


def test_file_of_a_message_is_foreign() -> None:
    with_file = {"text": "look", "attachments": [{"name": "a.pdf", "localPath": "inbox/m/a.pdf"}]}

    items = incoming(make_row("a", with_file), make_row("b", "plain", taint="unknown-sender"))

    assert batch_taint(items) == {"file", "unknown-sender"}


def test_taint_is_bounded_and_no_word_is_cut() -> None:
    rows = tuple(make_row(f"m-{n}", taint=f"source-{n:02}" * 8) for n in range(50))

    text = provenance_of(rows).taint or ""

    assert MAX_TAINT - 100 < len(text) <= MAX_TAINT
    assert taint_words(text) <= {f"source-{n:02}" * 8 for n in range(50)}


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=200))
def test_any_text_of_the_column_gives_words_that_can_be_joined_again(text: str) -> None:
    words = taint_words(text)

    assert taint_words(joined_taint(words)) == words
