import pytest
from helpers.runner_rows import FAMILY, make_row

from contract.address import Address, Destination, DestinationType
from runner.reply import (
    CUT_NOTE,
    MAX_BODY,
    Block,
    Outgoing,
    Reply,
    ReplyFacts,
    addressed,
    decide_reply,
    find_destination,
    parse_reply,
    strip_internal,
)

OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
PEER = Destination("helper", "Helper", DestinationType.AGENT, agent_group_id="ag-2")
KNOWN = (Destination("family", "Family", DestinationType.CHANNEL, "telegram", "77"), OPS, PEER)
ASKED = make_row("m-9", "question", seq=8)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("  plain ", "plain"),
        ("a<internal>b</internal>c", "ac"),
        ("<internal>a\nb</internal> x <internal>c</internal>", "x"),
        ("<internal>all</internal>", ""),
        ("said <internal>never closed", "said"),
    ],
)
def test_internal_text_is_never_shown(text: str, visible: str) -> None:
    assert strip_internal(text) == visible


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        pytest.param("bare", Reply((), "bare"), id="bare"),
        pytest.param('<message to="a">x</message>', Reply((Block("a", "x"),), ""), id="one"),
        pytest.param(
            'hm\n<message to="a">\nx\ny\n</message> and <message to="b">z</message> end',
            Reply((Block("a", "x\ny"), Block("b", "z")), "hm\nand\nend"),
            id="several, with text around",
        ),
        pytest.param(
            "<message id='1' to='a' urgent>x</message>",
            Reply((Block("a", "x"),), ""),
            id="single quotes and further attributes",
        ),
        pytest.param('<message to="a">x', Reply((Block("a", "x"),), ""), id="never closed"),
        pytest.param(
            '<message to="a">x\n<message to="b">y</message>',
            Reply((Block("a", "x"), Block("b", "y")), ""),
            id="not closed before the next",
        ),
        pytest.param(
            '<message to="a">say <message to="b"> in a line</message>',
            Reply((Block("a", 'say <message to="b"> in a line'),), ""),
            id="a tag within a line is text",
        ),
        pytest.param(
            '<internal><message to="a">draft</message></internal>ok',
            Reply((), "ok"),
            id="drafts are not sent",
        ),
        pytest.param(
            '<message id="4" from="a" sender="b">quoted</message>',
            Reply((), '<message id="4" from="a" sender="b">quoted</message>'),
            id="an inbound element is no block",
        ),
        pytest.param(
            '<message to="">x</message>', Reply((), '<message to="">x</message>'), id="no name"
        ),
        pytest.param(
            '<Message to="a">x</Message>', Reply((), '<Message to="a">x</Message>'), id="case"
        ),
    ],
)
def test_text_is_split_into_blocks_and_rest(text: str, reply: Reply) -> None:
    assert parse_reply(text) == reply


def test_long_hostile_text_is_parsed_without_delay() -> None:
    text = "<message " + " " * 200_000 + "<message to=" * 20_000 + "<internal>" * 20_000

    assert parse_reply(text).blocks == ()


@pytest.mark.parametrize(
    ("name", "found"), [("ops", OPS), (" OPS ", OPS), ("op", None), ("", None)]
)
def test_destination_is_found_by_name(name: str, found: Destination | None) -> None:
    assert find_destination(name, KNOWN) == found


def test_ambiguous_spelling_finds_nobody() -> None:
    other = Destination("OPS", "Ops 2", DestinationType.CHANNEL, "slack", "C2")

    assert find_destination("Ops", (OPS, other)) is None
    assert find_destination("OPS", (OPS, other)) == other


def test_bare_text_goes_to_the_origin_of_the_batch() -> None:
    plan = decide_reply(Reply((), "hello"), ReplyFacts(KNOWN, ASKED))

    assert plan.messages == (Outgoing(FAMILY, "hello", "m-9"),)


def test_text_around_a_sent_block_is_not_said() -> None:
    plan = decide_reply(parse_reply('hm <message to="ops">x</message>'), ReplyFacts(KNOWN, ASKED))

    assert [message.text for message in plan.messages] == ["x"]
    assert plan.unsaid == "hm"


def test_only_unknown_names_fall_back_to_the_origin() -> None:
    plan = decide_reply(parse_reply('<message to="who">x</message>'), ReplyFacts(KNOWN, ASKED))

    assert plan.messages == (Outgoing(FAMILY, "x", "m-9"),)
    assert plan.unknown == ("who",)


def test_unknown_name_beside_a_known_one_is_reported() -> None:
    text = '<message to="who">x</message><message to="ops">y</message>'

    plan = decide_reply(parse_reply(text), ReplyFacts(KNOWN, ASKED))

    assert [message.text for message in plan.messages] == ["y"]
    assert (plan.unknown, plan.unsaid) == (("who",), "x")


def test_empty_block_says_nothing_and_is_handled() -> None:
    plan = decide_reply(parse_reply('<message to="ops"> </message>hm'), ReplyFacts(KNOWN, ASKED))

    assert plan.messages == ()


def test_nothing_is_said_without_anybody_to_say_it_to() -> None:
    nowhere = make_row(address=Address())

    assert decide_reply(Reply((), "x"), ReplyFacts(KNOWN, nowhere)).messages == ()
    assert decide_reply(Reply((), "x"), ReplyFacts(KNOWN, None)).unsaid == "x"
    assert decide_reply(Reply((), ""), ReplyFacts(KNOWN, ASKED)).messages == ()


def test_thread_is_that_of_the_newest_row_of_the_turn() -> None:
    earlier = make_row("s-1", seq=2, address=Address("slack", "C1", "t-1"))
    later = make_row("s-2", seq=4, address=Address("slack", "C1", "t-2"))
    unseen = make_row("s-3", seq=6, address=Address("slack", "C1", "t-3"))
    facts = ReplyFacts(KNOWN, ASKED, (later, earlier), {OPS.address: unseen})

    plan = decide_reply(Reply((Block("ops", "x"),), ""), facts)

    assert plan.messages == (Outgoing(Address("slack", "C1", "t-2"), "x", "s-2"),)


def test_thread_of_another_chat_is_that_of_its_newest_row() -> None:
    row = make_row("s-3", seq=6, address=Address("slack", "C1", "t-3"))
    facts = ReplyFacts(KNOWN, ASKED, (ASKED,), {OPS.address: row})

    plan = decide_reply(Reply((Block("ops", "x"),), ""), facts)

    assert plan.messages == (Outgoing(Address("slack", "C1", "t-3"), "x", "s-3"),)


def test_chat_that_never_wrote_gets_no_thread() -> None:
    plan = decide_reply(Reply((Block("ops", "x"),), ""), ReplyFacts(KNOWN, ASKED, (ASKED,)))

    assert plan.messages == (Outgoing(Address("slack", "C1"), "x", "m-9"),)


def test_agent_destination_is_addressed_by_its_group() -> None:
    reply = Reply((Block("helper", "x"), Block("ops", "y"), Block("who", "z")), "")

    assert addressed(reply, KNOWN) == (Address("agent", "ag-2"), Address("slack", "C1"))


def test_enormous_message_is_cut() -> None:
    plan = decide_reply(Reply((), "x" * (MAX_BODY + 1)), ReplyFacts(KNOWN, ASKED))

    assert plan.messages[0].text == "x" * MAX_BODY + CUT_NOTE
