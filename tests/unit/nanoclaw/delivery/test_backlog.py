from dataclasses import replace
from datetime import timedelta

from helpers.delivery_rows import NOW, waiting
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.content import ChatOut, EditOut, dump, parse_outbound
from nanoclaw.delivery.backlog import is_backlog, plan_joins


def test_only_what_waited_through_an_outage_is_a_backlog() -> None:
    assert not is_backlog(waiting(1, "x"), NOW + timedelta(seconds=60))
    assert is_backlog(waiting(1, "x"), NOW + timedelta(seconds=61))


def test_plain_texts_are_joined_in_order() -> None:
    (joined,) = plan_joins([waiting(1, "one"), waiting(2, "two"), waiting(3, "three")], 4000)

    assert (joined.leader, joined.followers) == ("d-1", ("d-2", "d-3"))
    assert parse_outbound("chat", joined.content) == ChatOut(text="one\n\ntwo\n\nthree")


def test_what_was_offered_or_is_no_plain_text_stays_alone_and_in_its_place() -> None:
    edit = replace(waiting(3, ""), content=dump(EditOut(message_id="1", text="x")))
    tried = replace(waiting(6, "tried"), last_error="interrupted")
    files = replace(waiting(9, ""), content=dump(ChatOut(text="f", files=("a",))))
    backlog = [waiting(1, "a"), waiting(2, "b"), edit, waiting(4, "c"), waiting(5, "d"), tried,
               waiting(7, "e"), waiting(8, "f"), files]  # fmt: skip

    joins = plan_joins(backlog, 4000)

    assert [(join.leader, join.followers) for join in joins] == [
        ("d-1", ("d-2",)), ("d-4", ("d-5",)), ("d-7", ("d-8",)),
    ]  # fmt: skip


def test_last_message_of_an_answer_ends_it_also_when_it_is_joined() -> None:
    last = replace(waiting(2, "two"), completes=True)

    (joined,) = plan_joins([waiting(1, "one"), last], 4000)

    assert joined.completes


@given(st.lists(st.text(min_size=1, max_size=60), max_size=40), st.integers(4, 200))
@settings(deadline=None, max_examples=150)
def test_nothing_is_lost_and_no_join_is_over_the_limit(texts: list[str], limit: int) -> None:
    backlog = [waiting(number, text) for number, text in enumerate(texts, start=1)]

    joins = plan_joins(backlog, limit)

    joined = [name for join in joins for name in (join.leader, *join.followers)]
    assert len(joined) == len(set(joined))
    for join in joins:
        content = parse_outbound("chat", join.content)
        assert isinstance(content, ChatOut)
        assert len(content.text.encode("utf-8", "replace")) <= limit
        for name in (join.leader, *join.followers):
            assert texts[int(name.removeprefix("d-")) - 1].strip() in content.text
