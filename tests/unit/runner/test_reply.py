import pytest
from helpers.runner_rows import FAMILY, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address, Destination, DestinationType
from runner.address_book import AddressFacts
from runner.reply import (
    CUT_NOTE,
    MAX_BLOCKS,
    MAX_BODY_BYTES,
    MAX_PARSED,
    Block,
    Next,
    Outgoing,
    Reply,
    ReplyFacts,
    ReplyPlan,
    addressed,
    decide_reply,
    dropped_text,
    nudge_text,
    parse_reply,
    strip_internal,
)

HOME = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "77")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
PEER = Destination("helper", "Helper", DestinationType.AGENT, agent_group_id="ag-2")
KNOWN = (HOME, OPS, PEER)
ASKED = make_row("m-9", "question", seq=8)
ADDRESSES = AddressFacts(KNOWN, ASKED.address, ASKED.id, (ASKED,))
FACTS = ReplyFacts(ADDRESSES, ASKED)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        pytest.param("  plain ", "plain", id="none"),
        pytest.param("a<internal>b</internal>c", "ac", id="one line, surroundings kept"),
        pytest.param("<internal>a\nb</internal> x <internal>c</internal>", "x", id="several"),
        pytest.param("<internal>all</internal>", "", id="only internal"),
        pytest.param("said <internal>never closed", "said", id="never closed"),
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


def test_block_that_was_cut_off_is_not_sent() -> None:
    text = '<message to="a">whole</message> <message to="b">half of'

    reply = parse_reply(text, finished=False)

    assert reply.blocks == (Block("a", "whole"),)
    assert "half of" in reply.rest


@pytest.mark.parametrize(
    "text",
    [
        "<message " + " " * 200_000 + "<message to=" * 20_000 + "<internal>" * 20_000,
        '<message to="a">x</message>' * 20_000,
        '\n<message to="a">x' * 20_000,
        '<message to="a">x' * 20_000,
    ],
    ids=["tags without end", "many blocks", "many unclosed blocks", "many in one line"],
)
def test_long_hostile_text_is_parsed_into_a_bounded_number_of_blocks(text: str) -> None:
    assert len(parse_reply(text).blocks) <= MAX_PARSED


def test_bare_text_goes_nowhere_and_the_agent_is_told() -> None:
    plan = decide_reply(Reply((), "hello"), FACTS)

    assert plan.messages == ()
    assert (plan.next, plan.unsaid) == (Next.NUDGE, "hello")


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(ReplyFacts(ADDRESSES, ASKED, delivered=True), id="said by a tool"),
        pytest.param(ReplyFacts(ADDRESSES, ASKED, from_people=False), id="nobody asked"),
        pytest.param(ReplyFacts(ADDRESSES, ASKED, commentary=True), id="in mid-turn"),
    ],
)
def test_bare_text_is_scratchpad(facts: ReplyFacts) -> None:
    assert decide_reply(Reply((), "hm"), facts) == ReplyPlan(unsaid="hm")


def test_bare_text_of_a_provider_without_blocks_goes_to_the_origin() -> None:
    plan = decide_reply(Reply((), "hello"), ReplyFacts(routing=ASKED, bare_ok=True))

    assert plan.messages == (Outgoing(FAMILY, "hello", "m-9"),)


def test_nothing_is_said_without_anybody_to_say_it_to() -> None:
    nowhere = make_row(address=Address())

    assert decide_reply(Reply((), "x"), ReplyFacts(routing=nowhere, bare_ok=True)).messages == ()
    assert decide_reply(Reply((), "x"), ReplyFacts(bare_ok=True)).unsaid == "x"
    assert decide_reply(Reply((), ""), FACTS) == ReplyPlan()


def test_second_bare_answer_goes_to_where_the_batch_came_from() -> None:
    plan = decide_reply(Reply((), "hello"), ReplyFacts(ADDRESSES, ASKED, nudged=True))

    assert plan == ReplyPlan((Outgoing(FAMILY, "hello", "m-9"),))


def test_second_bare_answer_goes_to_the_only_destination() -> None:
    stranger = make_row("m-5", address=Address("irc", "x"))
    addresses = AddressFacts((OPS,), stranger.address, stranger.id, (stranger,))

    plan = decide_reply(Reply((), "hello"), ReplyFacts(addresses, stranger, nudged=True))

    assert plan.messages == (Outgoing(OPS.address, "hello", "m-5"),)


def test_second_bare_answer_to_two_chats_reaches_nobody() -> None:
    other = make_row("m-10", seq=10, address=Address("slack", "C1"))
    addresses = AddressFacts(KNOWN, ASKED.address, ASKED.id, (ASKED, other))

    plan = decide_reply(Reply((), "hello"), ReplyFacts(addresses, ASKED, nudged=True))

    assert (plan.messages, plan.next) == ((), Next.UNDELIVERABLE)


def test_body_of_an_unknown_name_is_never_given_to_somebody_else() -> None:
    reply = parse_reply('<message to="boss">I quit</message>')

    plan = decide_reply(reply, ReplyFacts(ADDRESSES, ASKED, nudged=True))

    assert (plan.messages, plan.next) == ((), Next.UNDELIVERABLE)


def test_without_destinations_there_is_nothing_to_tell_the_agent() -> None:
    plan = decide_reply(Reply((), "x"), ReplyFacts(AddressFacts(), ASKED))

    assert plan.next is Next.UNDELIVERABLE


def test_text_around_a_sent_block_is_not_said() -> None:
    plan = decide_reply(parse_reply('hm <message to="ops">x</message>'), FACTS)

    assert [message.text for message in plan.messages] == ["x"]
    assert (plan.unsaid, plan.next) == ("hm", Next.DONE)


def test_unknown_name_beside_a_known_one_is_reported() -> None:
    text = '<message to="who">x</message><message to="ops">y</message>'

    plan = decide_reply(parse_reply(text), FACTS)

    assert [(message.text, message.block) for message in plan.messages] == [("y", 1)]
    assert '"who"' in plan.dropped[0]
    assert (plan.unsaid, plan.next) == ("x", Next.DONE)


def test_only_unknown_names_lead_to_a_nudge() -> None:
    plan = decide_reply(parse_reply('<message to="who">x</message>'), FACTS)

    assert (plan.messages, plan.next) == ((), Next.NUDGE)


@pytest.mark.parametrize("name", ["ops", "who"])
def test_empty_block_says_nothing_and_is_handled(name: str) -> None:
    plan = decide_reply(parse_reply(f'<message to="{name}"> </message>hm'), FACTS)

    assert (plan.messages, plan.next) == ((), Next.DONE)


def test_enormous_message_is_refused_and_named() -> None:
    for body in ("x" * (MAX_BODY_BYTES + 1), "€" * (MAX_BODY_BYTES // 3 + 1)):
        plan = decide_reply(Reply((Block("ops", body),), ""), FACTS)

        assert plan.messages == ()
        assert "256 KiB" in plan.dropped[0]
        assert plan.next is Next.NUDGE


def test_message_of_the_allowed_size_is_sent() -> None:
    plan = decide_reply(Reply((Block("ops", "x" * MAX_BODY_BYTES),), ""), FACTS)

    assert len(plan.messages) == 1


def test_bare_text_over_the_limit_is_cut() -> None:
    text = "€" * (MAX_BODY_BYTES // 3 + 1)

    [message] = decide_reply(Reply((), text), ReplyFacts(routing=ASKED, bare_ok=True)).messages

    assert message.text.endswith(f"€{CUT_NOTE}")
    assert len(message.text.encode()) <= MAX_BODY_BYTES + len(CUT_NOTE)


def test_blocks_beyond_the_limit_are_dropped_and_named() -> None:
    reply = Reply((Block("ops", "x"),) * (MAX_BLOCKS + 1), "")

    plan = decide_reply(reply, FACTS)

    assert len(plan.messages) == MAX_BLOCKS
    assert len(plan.dropped) == 1


def test_each_chat_gets_the_thread_and_reply_of_its_newest_row() -> None:
    earlier = make_row("s-1", seq=2, address=Address("slack", "C1", "t-1"))
    later = make_row("s-2", seq=4, address=Address("slack", "C1", "t-2"))
    addresses = AddressFacts(KNOWN, ASKED.address, "m-9", (later, ASKED, earlier))
    reply = Reply((Block("ops", "x"), Block("family", "y")), "")

    plan = decide_reply(reply, ReplyFacts(addresses, ASKED))

    assert [(m.address.thread_id, m.in_reply_to) for m in plan.messages] == [
        ("t-2", "s-2"),
        (None, "m-9"),
    ]


def test_chat_that_never_wrote_gets_no_thread() -> None:
    plan = decide_reply(Reply((Block("ops", "x"),), ""), FACTS)

    assert plan.messages == (Outgoing(Address("slack", "C1"), "x", "m-9", 0),)


def test_agent_destination_is_addressed_by_its_group() -> None:
    reply = Reply((Block("helper", "x"), Block("ops", "y"), Block("who", "z")), "")

    assert addressed(reply, KNOWN) == (Address("agent", "ag-2"), Address("slack", "C1"))


def test_what_the_agent_is_told_names_the_destinations() -> None:
    for text in (nudge_text(["No."], KNOWN), dropped_text(["No."], KNOWN)):
        assert "`family`, `helper`, `ops`" in text
        assert "No." in text
    assert "(none)" in nudge_text([], ())


PIECES = st.sampled_from(
    ["<internal>", "</internal>", '<message to="ops">', '<message to="who">', "<message to='ops'>",
     "</message>", "\n", '<message from="ops" sender="x">', "<message>", "text"]
) | st.text(max_size=10)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=30).map("".join), st.booleans(), st.booleans(), st.booleans())
def test_whatever_the_model_writes_is_decided_and_nothing_internal_is_sent(
    text: str, finished: bool, nudged: bool, bare_ok: bool
) -> None:
    reply = parse_reply(text, finished=finished)
    plan = decide_reply(reply, ReplyFacts(ADDRESSES, ASKED, nudged=nudged, bare_ok=bare_ok))

    visible = strip_internal(text)
    assert len(plan.messages) <= MAX_BLOCKS
    for message in plan.messages:
        assert message.address in (FAMILY, OPS.address)
        assert all(line.strip() in visible for line in message.text.splitlines())


SECRET = "s3cr3t"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(['<message to="ops">', "</message>", "\n", "word "]), max_size=12),
    st.lists(st.sampled_from(['<message to="ops">', "</message>", "\n", "<internal>"]), max_size=4),
    st.integers(0, 12),
    st.booleans(),
)
def test_what_stands_between_internal_tags_is_never_sent(
    around: list[str], inside: list[str], place: int, nudged: bool
) -> None:
    hidden = f"<internal>{''.join(inside)}{SECRET}</internal>"
    text = "".join([*around[:place], hidden, *around[place:]])

    plan = decide_reply(parse_reply(text), ReplyFacts(ADDRESSES, ASKED, nudged=nudged))

    assert not any(SECRET in message.text for message in plan.messages)
