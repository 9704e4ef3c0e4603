import pytest
from helpers.runner_rows import chat, incoming, make_row

from contract.address import Address
from contract.commands import MEANINGLESS
from contract.inbound.row import InboundRow
from runner.decide import (
    CLEARED_TEXT,
    NOTHING_TO_STOP_TEXT,
    STOPPED_TEXT,
    BatchFacts,
    EndQuery,
    FailureFacts,
    RetryFresh,
    SettleSilently,
    Stream,
    TellUser,
    TurnPlan,
    Wait,
    decide_batch,
    decide_failure,
    routing_row,
)
from runner.errors import Trouble

PEER = Address("agent", "ag-2")
CLOSED = pytest.mark.parametrize("stream", [Stream.FULL, Stream.ENDING])


def plan(facts: BatchFacts) -> TurnPlan:
    decision = decide_batch(facts)
    assert isinstance(decision, TurnPlan)
    return decision


def taken(decision: TurnPlan) -> list[str]:
    return [item.row.id for item in decision.items]


def test_empty_batch_waits() -> None:
    assert decide_batch(BatchFacts(())) == Wait()


def test_all_rows_are_taken_in_order() -> None:
    decision = plan(BatchFacts(chat("a", "b", "c")))

    assert taken(decision) == ["m-1", "m-2", "m-3"]
    assert decision.settle == ()


def test_omitted_context_is_settled_and_counted() -> None:
    decision = plan(BatchFacts(chat("a"), omitted=("old-1", "old-2")))

    assert decision.settle == ("old-1", "old-2")
    assert decision.omitted == 2


def test_clear_divides_the_batch() -> None:
    decision = plan(BatchFacts(chat("before", "/clear", "after"), omitted=("older",)))

    assert taken(decision) == ["m-3"]
    assert decision.settle == ("older", "m-1", "m-2")
    assert decision.omitted == 0
    assert decision.forget
    assert [(reply.row.id, reply.text) for reply in decision.replies] == [("m-2", CLEARED_TEXT)]


def test_of_several_clears_the_last_one_divides_and_each_is_confirmed() -> None:
    decision = plan(BatchFacts(chat("/clear", "between", "/CLEAR now", "after")))

    assert taken(decision) == ["m-4"]
    assert [reply.row.id for reply in decision.replies] == ["m-1", "m-3"]


COMMANDS = frozenset({"/compact", "/context", "/cost", "/files"})


def commanded(*texts: str, stream: Stream = Stream.NONE, running: bool = False) -> BatchFacts:
    return BatchFacts(chat(*texts), stream=stream, turn_running=running, commands=COMMANDS)


def test_question_of_the_provider_is_taken_out_of_the_batch() -> None:
    decision = plan(commanded("a", "/cost", "b"))

    assert taken(decision) == ["m-1", "m-3"]
    assert [item.row.id for item in decision.commands] == ["m-2"]
    assert decision.settle == ()


@CLOSED
def test_questions_are_answered_while_the_stream_takes_no_more(stream: Stream) -> None:
    decision = plan(commanded("a", "/cost", "/clear", "/login", stream=stream, running=True))

    assert [item.row.id for item in decision.commands] == ["m-2"]
    assert decision.settle == ("m-4",)
    assert [reply.row.id for reply in decision.replies] == ["m-4"]
    assert decision.items == ()
    assert decision.left


@pytest.mark.parametrize("word", ["/compact", "/clear"])
def test_command_that_changes_the_conversation_ends_the_stream_first(word: str) -> None:
    assert decide_batch(commanded("a", word, stream=Stream.OPEN)) == EndQuery()


def test_compaction_comes_after_what_stands_before_it() -> None:
    before = plan(commanded("a", "/compact keep names", "b"))
    then = plan(commanded("/compact keep names", "b"))

    assert (taken(before), before.commands, before.left) == (["m-1"], (), True)
    assert (taken(then), [i.row.id for i in then.commands], then.left) == ([], ["m-1"], True)


def test_question_before_a_clear_is_about_the_old_conversation() -> None:
    first = plan(commanded("/cost", "/clear", "/cost"))
    then = plan(commanded("/clear", "/cost", "after"))

    assert ([i.row.id for i in first.commands], first.forget, first.settle) == (["m-1"], False, ())
    assert (then.forget, then.settle, then.commands, then.left) == (True, ("m-1",), (), True)


@pytest.mark.parametrize("word", sorted(MEANINGLESS))
def test_command_of_another_program_is_answered_with_one_line(word: str) -> None:
    decision = plan(commanded(word, stream=Stream.OPEN))

    assert [reply.text for reply in decision.replies] == [f"{word} does nothing here."]
    assert (decision.settle, decision.items) == (("m-1",), ())


def test_command_wakes_no_context_that_stands_beside_it() -> None:
    rows = incoming(make_row("c-1", "listening", trigger=False), make_row("m-1", "/stop"))

    decision = plan(BatchFacts(rows))

    assert decision.items == ()
    assert decision.settle == ("m-1",)


def test_batch_of_commands_only_needs_no_provider() -> None:
    decision = plan(BatchFacts(chat("/clear")))

    assert decision.items == ()
    assert decision.settle == ("m-1",)


def test_clear_ends_an_open_stream_first_and_takes_nothing() -> None:
    decision = decide_batch(BatchFacts(chat("a", "/clear"), stream=Stream.OPEN))

    assert decision == EndQuery()


@CLOSED
def test_while_the_stream_takes_no_more_rows_wait(stream: Stream) -> None:
    facts = BatchFacts(chat("a"), stream=stream, turn_running=True)

    assert decide_batch(facts) == Wait()


@CLOSED
def test_stop_is_heard_while_the_stream_takes_no_more(stream: Stream) -> None:
    facts = BatchFacts(chat("/clear", "/stop"), stream=stream, turn_running=True)

    decision = plan(facts)

    assert decision.interrupt
    assert decision.left
    assert decision.settle == ("m-2",)
    assert decision.items == ()


@pytest.mark.parametrize(("running", "text"), [(True, STOPPED_TEXT), (False, NOTHING_TO_STOP_TEXT)])
def test_stop_is_answered_at_once(running: bool, text: str) -> None:
    stream = Stream.OPEN if running else Stream.NONE

    decision = plan(BatchFacts(chat("/stop", "then"), stream=stream, turn_running=running))

    assert decision.interrupt is running
    assert [reply.text for reply in decision.replies] == [text]
    assert taken(decision) == ["m-2"]


@pytest.mark.parametrize(
    "text", ["/clearance", "/compact", "/usr/bin is full", "clear", "a /clear", "/clearx"]
)
def test_other_slash_words_are_ordinary_messages(text: str) -> None:
    decision = plan(BatchFacts(chat(text), stream=Stream.OPEN))

    assert taken(decision) == ["m-1"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(make_row(content="/clear", address=PEER), id="another agent"),
        pytest.param(make_row(content={"prompt": "/clear"}, kind="task"), id="a task"),
        pytest.param(make_row(content={"payload": "/clear"}, kind="webhook"), id="a webhook"),
    ],
)
def test_only_people_give_commands(row: InboundRow) -> None:
    assert taken(plan(BatchFacts(incoming(row)))) == ["m-1"]


def test_answers_refer_to_the_newest_chat_row_that_woke_us() -> None:
    rows = incoming(
        make_row("chat-1", "a", seq=2),
        make_row("chat-2", "b", seq=4),
        make_row("task", {"prompt": "c"}, seq=6, kind="task"),
        make_row("context", "d", seq=8, trigger=False),
    )

    found = routing_row(rows)

    assert found is not None
    assert found.id == "chat-2"


def test_without_chat_the_newest_waking_row_is_referred_to() -> None:
    rows = incoming(
        make_row("context", "d", seq=2, trigger=False),
        make_row("task", {"prompt": "c"}, seq=4, kind="task"),
    )

    found = routing_row(rows)

    assert found is not None
    assert found.id == "task"


def test_without_a_waking_row_the_first_is_referred_to() -> None:
    found = routing_row(incoming(make_row("context", "d", trigger=False)))

    assert found is not None
    assert found.id == "context"
    assert routing_row(()) is None


ROW = make_row()
AGENT_ROW = make_row(address=PEER)


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        pytest.param(
            FailureFacts(session_invalid=True, has_continuation=True, retried=False, routing=ROW),
            RetryFresh(),
            id="unusable conversation, first time",
        ),
        pytest.param(
            FailureFacts(session_invalid=True, has_continuation=True, retried=True, routing=ROW),
            TellUser(ROW, forget=True),
            id="unusable conversation, again",
        ),
        pytest.param(
            FailureFacts(session_invalid=True, has_continuation=False, retried=False, routing=ROW),
            TellUser(ROW, forget=False),
            id="unusable conversation, but there is none",
        ),
        pytest.param(
            FailureFacts(session_invalid=False, has_continuation=True, retried=False, routing=ROW),
            TellUser(ROW, forget=False),
            id="any other failure",
        ),
        pytest.param(
            FailureFacts(session_invalid=False, has_continuation=True, retried=False, routing=None),
            SettleSilently(forget=False),
            id="nobody waits",
        ),
        pytest.param(
            FailureFacts(
                session_invalid=False,
                has_continuation=True,
                retried=False,
                routing=AGENT_ROW,
                notified=True,
            ),
            SettleSilently(forget=False, reason="told already"),
            id="an agent that was told",
        ),
        pytest.param(
            FailureFacts(
                session_invalid=False,
                has_continuation=True,
                retried=False,
                routing=AGENT_ROW,
            ),
            TellUser(AGENT_ROW, forget=False),
            id="an agent that was not told",
        ),
        pytest.param(
            FailureFacts(
                session_invalid=False,
                has_continuation=True,
                retried=False,
                routing=ROW,
                trouble=Trouble.TOO_LARGE,
            ),
            TellUser(ROW, forget=True),
            id="too large a conversation",
        ),
    ],
)
def test_failure_leads_to(facts: FailureFacts, decision: object) -> None:
    assert decide_failure(facts) == decision
