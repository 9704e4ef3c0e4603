import copy
import json

from helpers.claude_memory_build import assistant, check_request, results, system, user
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.providers.claude.records import Message, content_blocks
from runner.providers.claude.repair import (
    INTERRUPTED,
    open_calls,
    result_block,
    results_message,
    valid_messages,
)


def in_order() -> list[Message]:
    return [
        user("a"),
        assistant("b", ["t1", "t2"], thinking=""),
        results("t1", "t2", text="and this"),
        assistant("c"),
        user("d"),
        system("a note"),
    ]


def test_list_in_order_comes_back_as_the_same_objects() -> None:
    messages = in_order()

    valid = valid_messages(messages)

    assert all(one is other for one, other in zip(valid, messages, strict=True))


def test_neighbours_of_one_role_are_joined() -> None:
    valid = valid_messages([user("a"), user("b"), assistant("c"), {"role": "user", "content": "d"}])

    assert [message["role"] for message in valid] == ["user", "assistant", "user"]
    assert content_blocks(valid[0]) == [*content_blocks(user("a")), *content_blocks(user("b"))]


def test_missing_answer_is_given_as_unknown_and_before_the_others() -> None:
    valid = valid_messages([user("a"), assistant("", ["t1", "t2"]), results("t2", text="go on")])

    answers = content_blocks(valid[2])
    assert [block.get("tool_use_id") for block in answers] == ["t1", "t2", None]
    assert answers[0]["is_error"] is True
    assert INTERRUPTED in json.dumps(answers[0])


def test_results_come_before_texts_and_in_the_order_of_the_calls() -> None:
    mixed: Message = {
        "role": "user",
        "content": [
            {"type": "text", "text": "x"},
            result_block("t2", "two"),
            result_block("t1", "one"),
        ],
    }

    valid = valid_messages([user("a"), assistant("", ["t1", "t2"]), mixed])

    kinds = [block.get("tool_use_id", "text") for block in content_blocks(valid[2])]
    assert kinds == ["t1", "t2", "text"]


def test_answer_without_call_is_left_out() -> None:
    valid = valid_messages([user("a"), assistant("b"), results("gone"), user("c")])

    assert content_blocks(valid[2]) == content_blocks(user("c"))


def test_second_answer_to_one_call_is_left_out() -> None:
    doubled = results("t1", "t1")

    valid = valid_messages([user("a"), assistant("", ["t1"]), doubled])

    assert len(content_blocks(valid[2])) == 1


def test_calls_before_a_note_are_answered_first() -> None:
    valid = valid_messages([user("a"), assistant("", ["t1"]), system("note"), user("b")])

    assert [message["role"] for message in valid] == ["user", "assistant", "user", "system", "user"]


def test_empty_answers_and_blank_texts_are_left_out() -> None:
    empty: Message = {"role": "assistant", "content": []}

    valid = valid_messages([user("a"), empty, user("  \n"), user("b")])

    assert valid == [{"role": "user", "content": [*user("a")["content"], *user("b")["content"]]}]  # type: ignore[misc]


def test_calls_of_the_last_message_stay_open() -> None:
    messages = valid_messages([user("a"), assistant("b", ["t1"])])

    assert [call.id for call in open_calls(messages)] == ["t1"]
    assert not open_calls(valid_messages([*messages, results("t1")]))


def test_known_effect_is_the_answer_and_no_error() -> None:
    calls = open_calls([assistant("", ["t1", "t2"])])

    message = results_message(calls, {"t2": "sent as 7"})

    first, second = content_blocks(message)
    assert first["is_error"] is True
    assert "is_error" not in second
    assert "sent as 7" in json.dumps(second)


texts = st.text(alphabet="ab \n<é", max_size=3)
ids = st.sampled_from(["t1", "t2", "t3"])
any_message = st.one_of(
    st.builds(user, texts),
    st.builds(assistant, texts, st.lists(ids, max_size=2, unique=True)),
    st.lists(ids, max_size=3).map(lambda calls: results(*calls)),
    st.builds(system, texts),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(any_message, max_size=8))
def test_whatever_was_stored_becomes_a_valid_request(stored: list[Message]) -> None:
    before = copy.deepcopy(stored)
    valid = valid_messages([user("first"), *stored])

    calls = open_calls(valid)
    request = valid_messages([*valid, results_message(calls, {}), user("next")])

    check_request(request)
    assert stored == before
    assert valid_messages(valid) == valid
