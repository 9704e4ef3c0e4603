"""Who gets what of an answer, and exactly once (R-132 to R-147, R-241)."""

from dataclasses import replace

import pytest
from helpers.loop_thread import DoubleProvider, Gate, fail, origin_of, running_loop, say, state_of
from helpers.runner_process import CHAT, RunnerSession, text_of
from helpers.waiting import wait_until

from contract.address import Address, Destination, DestinationType
from contract.clock import utc_now
from contract.inbound.row import AckStatus
from contract.outbound.writer import open_outbound
from runner.errors import ProviderError, Trouble
from runner.providers.base import Began, Compacted, Said
from runner.store import CURRENT_BATCH, PARKED_CONTINUATION

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
PEER = Destination("helper", "Helper", DestinationType.AGENT, agent_group_id="ag-2")
BOTH = '<message to="ops">fine</message> <message to="me">ok</message>'


@pytest.fixture(autouse=True)
def destinations(session: RunnerSession) -> None:
    session.permit(ME, OPS, PEER)


def test_two_destinations_get_their_own_threads_and_reply_ids(session: RunnerSession) -> None:
    old = session.send("old", address=Address("slack", "C1", "t-1"), trigger=False)
    new = session.send("new", address=Address("slack", "C1", "t-2"), trigger=False)
    asked = session.send("tell ops")

    with running_loop(session, DoubleProvider(say(BOTH))):
        session.wait_for_status(old, AckStatus.COMPLETED)

    to_ops, to_me = session.messages()
    assert (to_ops.address, to_ops.in_reply_to) == (Address("slack", "C1", "t-2"), new)
    assert (to_me.address, to_me.in_reply_to) == (CHAT, asked)


def test_provider_learns_which_messages_an_answer_became(session: RunnerSession) -> None:
    asked = session.send("tell ops")
    origin = origin_of("c-1:5")
    begun = Said('<message to="me">begun</message>', origin_of("c-1:3"))
    provider = DoubleProvider(say(BOTH, begun, origin=origin))

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)
        wait_until(lambda: len(provider.sent) == 3, what="what was sent")

    ids = [row.id for row in session.messages()]
    assert [(one.block, one.to, one.message_id) for one in provider.sent] == [
        (0, "cli:local", ids[0]),
        (0, "slack:C1", ids[1]),
        (1, "cli:local", ids[2]),
    ]


def test_texts_carry_what_tools_had_brought_into_their_turn(session: RunnerSession) -> None:
    asked = session.send("tell ops")
    begun = Said('<message to="me">begun</message>', origin_of("c-1:3"))
    later = replace(begun, origin=origin_of("c-1:4"), taint=frozenset({"web"}))
    provider = DoubleProvider(
        say(BOTH, begun, later, origin=origin_of("c-1:5"), taint=frozenset({"web", "mcp"}))
    )

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    taints = [row.taint for row in session.messages()]
    assert taints == [None, "web", "mcp,web", "mcp,web"]


def test_row_the_agent_was_given_counts_more_than_a_newer_one(session: RunnerSession) -> None:
    given = session.send("given", address=Address("slack", "C1", "t-1"))
    gate = Gate()
    provider = DoubleProvider(
        say('<message to="me">a</message>'), gate.hold('<message to="ops">fine</message>')
    )

    with running_loop(session, provider):
        session.wait_for_status(given, AckStatus.COMPLETED)
        asked = session.send("tell ops")
        gate.wait()
        session.send("unseen", address=Address("slack", "C1", "t-9"), trigger=False)
        gate.open.set()
        session.wait_for_status(asked, AckStatus.COMPLETED)

    row = session.messages()[-1]
    assert (row.address.thread_id, row.in_reply_to) == ("t-1", given)


def test_chat_never_heard_of_gets_no_thread(session: RunnerSession) -> None:
    asked = session.send("tell ops")

    with running_loop(session, DoubleProvider(say('<message to="ops">fine</message>'))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [row] = session.messages()
    assert (row.address, row.in_reply_to) == (Address("slack", "C1"), asked)


def test_session_routing_gives_the_thread_of_its_own_chat(session: RunnerSession) -> None:
    from contract.inbound.writer import open_inbound

    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.set_session_routing(Address("slack", "C1", "t-5"))
    asked = session.send("tell ops")

    with running_loop(session, DoubleProvider(say('<message to="ops">fine</message>'))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.messages()[0].address.thread_id == "t-5"


def test_answer_to_an_agent_names_the_row_it_answers(session: RunnerSession) -> None:
    asked = session.send("what is up?", address=Address("agent", "ag-2"))

    with running_loop(session, DoubleProvider(say('<message to="helper">all well</message>'))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [row] = session.messages()
    assert (row.address, row.in_reply_to) == (Address("agent", "ag-2"), asked)


def test_destination_that_comes_in_mid_session_is_known_at_once(session: RunnerSession) -> None:
    gate = Gate()
    asked = session.send("tell new")

    with running_loop(session, DoubleProvider(gate.hold('<message to="new">x</message>'))):
        gate.wait()
        session.permit(ME, Destination("new", "New", DestinationType.CHANNEL, "irc", "#a"))
        gate.open.set()
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.messages()[0].address == Address("irc", "#a")


def test_blocks_in_mid_turn_are_sent_at_once_and_commentary_is_not(
    session: RunnerSession,
) -> None:
    gate = Gate()
    said = Said('thinking\n<message to="me">soon</message><message to="me">cut', origin_of("a"))
    provider = DoubleProvider(gate.hold('<message to="me">done</message>', said))
    asked = session.send("work")

    with running_loop(session, provider):
        gate.wait()
        session.wait_for_texts(1)
        assert session.texts() == ["soon"]
        assert session.status_of(asked) is AckStatus.PROCESSING
        gate.open.set()
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["soon", "done"]


def test_answer_that_is_said_again_writes_nothing_new(session: RunnerSession) -> None:
    said, final = origin_of("nc1-x/1"), origin_of("nc1-x/2")
    block = '<message to="me">done</message>'
    turn = say(block, Said('<message to="me">soon</message>', said), origin=final)
    provider = DoubleProvider(turn, turn)

    with running_loop(session, provider):
        for text in ("one", "again"):
            session.wait_for_status(session.send(text), AckStatus.COMPLETED)

    assert len(provider.prompts) == 2
    assert session.texts() == ["soon", "done"]


def test_cut_off_answer_is_not_sent_in_part(session: RunnerSession) -> None:
    provider = DoubleProvider(say('<message to="me">half of', stop_reason="max_tokens"))
    asked = session.send("work")

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["ok"]
    assert len(provider.prompts) == 2


def test_compaction_is_no_reason_to_say_anything(session: RunnerSession) -> None:
    provider = DoubleProvider(say("<internal>x</internal>", Compacted(10, 1)))
    asked = session.send("work")

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert (session.texts(), len(provider.prompts)) == ([], 1)


def test_turn_of_the_provider_itself_may_write_to_a_destination(session: RunnerSession) -> None:
    provider = DoubleProvider(
        say('<message to="me">a</message>'),
        say('bare <message to="ops">job done</message>', Began()),
    )
    session.send("one")

    with running_loop(session, provider):
        session.wait_for_texts(1)
        provider.queries[0].wake()
        session.wait_for_texts(2)

    row = session.messages()[1]
    assert (text_of(row), row.address, row.in_reply_to) == ("job done", OPS.address, None)


def test_effects_of_tools_are_forgotten_with_the_last_rows_of_a_turn(
    session: RunnerSession,
) -> None:
    gate = Gate()
    provider = DoubleProvider(gate.hold("<internal>x</internal>"), gate.hold(None))
    with open_outbound(session.paths.outbound_db) as out:
        out.set_state("effect:call-1", "sent", utc_now())
    first = session.send("one")

    with running_loop(session, provider):
        gate.wait()
        second = session.send("two")
        session.wait_for_status(second, AckStatus.PROCESSING)
        assert '"m-2"' in (state_of(session, CURRENT_BATCH) or "")
        gate.open.set()
        session.wait_for_status(second, AckStatus.COMPLETED)

    assert session.status_of(first) is AckStatus.COMPLETED
    assert state_of(session, "effect:call-1") is None
    assert state_of(session, CURRENT_BATCH) is None


def test_effects_outlive_a_turn_that_failed(session: RunnerSession) -> None:
    with open_outbound(session.paths.outbound_db) as out:
        out.set_state("effect:call-1", "sent", utc_now())
    asked = session.send("one")

    with running_loop(session, DoubleProvider(fail(ProviderError(Trouble.NETWORK, "gone")))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert state_of(session, "effect:call-1") == "sent"


@pytest.mark.parametrize("parked", [None, "older"])
def test_handle_of_another_implementation_is_kept_aside_and_handed_on(
    session: RunnerSession, parked: str | None
) -> None:
    with open_outbound(session.paths.outbound_db) as out:
        out.set_state("continuation:scripted", "0b1c-uuid", utc_now())
        if parked:
            out.set_state(PARKED_CONTINUATION, parked, utc_now())
    provider = DoubleProvider()
    provider.prefix = "nc1-"
    asked = session.send("one")

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [query] = provider.inputs
    assert (query.continuation, query.foreign) == (None, "0b1c-uuid")
    assert state_of(session, "continuation:scripted") == "nc1-c-1"
    assert state_of(session, PARKED_CONTINUATION) == (parked or "0b1c-uuid")


def test_idle_runner_stays_while_the_provider_is_busy(session: RunnerSession) -> None:
    session.configure(idle_exit_seconds=0.2)
    provider = DoubleProvider()
    provider.busy = True

    with running_loop(session, provider) as thread:
        beat = session.paths.heartbeat
        wait_until(beat.exists)
        assert not thread.ended.wait(0.6)
        provider.busy = False
        thread.wait_for_end()

    assert thread.error is None
