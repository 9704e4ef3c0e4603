from typing import cast

import pytest
from helpers.routing_stage import CHANNEL, RouterStage, message

from contract.clock import utc_now
from contract.inbound.writer import open_inbound
from nanoclaw.db import inbound_events, sessions
from nanoclaw.db.connection import open_central
from nanoclaw.events import Committed, Frame, Inbound, Outcome, Refused
from nanoclaw.link import Answer, Peer
from nanoclaw.model import EngageMode
from nanoclaw.routing.apply import Committer
from nanoclaw.routing.arrival import Arrival
from nanoclaw.routing.loop import MAX_QUEUED
from nanoclaw.sessions import archive


@pytest.fixture
def town(stage: RouterStage) -> RouterStage:
    """One agent that hears everything in one chat."""
    stage.agent()
    stage.wire(stage.chat())
    return stage


def test_t21_message_is_committed_written_and_wakes_the_sweep(town: RouterStage) -> None:
    answers = town.send(message(1, "first"))
    town.spin(lambda: town.sweep.woken)

    (row,) = town.rows_of()
    assert answers == [Committed(Outcome.ROUTED)]
    assert '"text":"first"' in row.content
    assert row.trigger
    assert town.sweep.woken == [town.session().id]
    assert town.session().next_due_at is not None


def test_w21_second_copy_of_an_event_is_a_no_op(town: RouterStage) -> None:
    town.send(message(1))

    answers = town.send(message(1))

    assert answers == [Committed(Outcome.DUPLICATE)]
    assert len(town.rows_of()) == 1


def test_events_of_one_round_are_routed_in_their_order(town: RouterStage) -> None:
    answers = town.send(*(message(number, str(number)) for number in range(150)))
    town.settle()

    assert answers == [Committed(Outcome.ROUTED)] * 150
    texts = [row.content.split('"')[3] for row in town.rows_of()]
    assert texts == [str(number) for number in range(150)]


def test_w20_rows_committed_before_a_crash_are_written_at_the_next_start(town: RouterStage) -> None:
    # What a router that is killed right after its commit leaves behind.
    Committer(town.conn, town.paths).commit([Arrival(CHANNEL, False, message(1))], utc_now())

    town.loop.replay()

    assert len(town.rows_of()) == 1
    assert inbound_events.unrouted(town.conn, 10) == []


def test_replay_after_the_rows_were_written_repeats_nothing(town: RouterStage) -> None:
    town.send(message(1))
    town.conn.execute("UPDATE inbound_events SET state = 'committed'")

    town.loop.replay()

    assert len(town.rows_of()) == 1


def test_locked_session_file_delays_the_row_and_loses_nothing(town: RouterStage) -> None:
    town.send(message(1))
    folder = town.folder(town.session())

    with open_inbound(folder.inbound_db):
        answers = town.send(message(2))
        held = len(inbound_events.unrouted(town.conn, 10))
    town.settle()

    assert answers == [Committed(Outcome.ROUTED)]
    assert held == 1
    assert len(town.rows_of()) == 2


def test_nothing_newer_gets_ahead_of_a_row_that_waits_for_its_file(town: RouterStage) -> None:
    town.send(message(1, "one"))
    folder = town.folder(town.session())

    with open_inbound(folder.inbound_db):
        town.send(message(2, "two"))
    town.send(message(3, "three"))
    town.settle()

    texts = [row.content.split('"')[3] for row in town.rows_of()]
    assert texts == ["one", "two", "three"]


def test_corrupt_session_file_stops_only_its_own_session(town: RouterStage) -> None:
    town.send(message(1))
    folder = town.folder(town.session())
    folder.inbound_db.write_bytes(b"garbage" * 1000)

    answers = town.send(message(2))

    assert answers == [Committed(Outcome.ROUTED)]
    assert town.session().quarantined_at is not None
    copies = list((town.paths.backups / "set-aside").rglob("inbound.db"))
    assert [copy.read_bytes()[:7] for copy in copies] == [b"garbage"]


def test_w21_one_agent_that_cannot_be_written_to_does_not_keep_the_others_from_the_message(
    town: RouterStage,
) -> None:
    town.agent("ag-2", "Bea")
    chat = town.chat("double:both")
    town.wire(chat)
    town.wire(chat, "ag-2")
    town.send(message(1, platform_id="double:both"))
    damaged = town.folder(town.session("ag-1"))
    damaged.inbound_db.write_bytes(b"garbage" * 1000)
    town.sweep.woken.clear()

    town.send(message(2, platform_id="double:both"))
    town.spin(lambda: town.sweep.woken, "the other agent is woken")

    assert town.sweep.woken == [town.session("ag-2").id]
    assert len(town.rows_of("ag-2")) == 2


def test_row_that_is_written_is_not_written_again_while_another_waits(town: RouterStage) -> None:
    town.agent("ag-2", "Bea")
    chat = town.chat("double:both")
    town.wire(chat)
    town.wire(chat, "ag-2")
    town.send(message(1, platform_id="double:both"))
    town.settle()

    with open_inbound(town.folder(town.session("ag-1")).inbound_db):
        town.send(message(2, platform_id="double:both"))
        (waiting,) = inbound_events.unrouted(town.conn, 10)

    assert town.session("ag-1").id in (waiting.targets_json or "")
    assert town.session("ag-2").id not in (waiting.targets_json or "")


def test_locked_database_refuses_the_event_and_the_worker_may_send_it_again(
    town: RouterStage,
) -> None:
    other = open_central(town.paths.central_db)
    town.conn.execute("PRAGMA busy_timeout=1")
    answers: list[Answer] = []
    other.execute("BEGIN IMMEDIATE")
    town.worker().request(Inbound(message(1)), 5, answers.append)
    town.spin(lambda: answers)
    other.execute("ROLLBACK")
    other.close()

    again = town.send(message(1))

    assert not isinstance(answers[0], Committed)
    assert again == [Committed(Outcome.ROUTED)]


def test_event_that_breaks_the_decision_is_rejected_and_the_others_go_on(
    town: RouterStage,
) -> None:
    # Stands for whatever nobody has foreseen.
    town.conn.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON engagements BEGIN SELECT raise(ABORT, 'no'); END"
    )
    chat = town.chat("double:bad", is_group=True)
    town.wire(chat, engage_mode=EngageMode.MENTION_STICKY)

    answers = town.send(
        message(1), message(2, platform_id="double:bad", is_mention=True), message(3)
    )

    assert [answer.outcome for answer in answers] == [
        Outcome.ROUTED, Outcome.REJECTED, Outcome.ROUTED,
    ]  # fmt: skip
    assert inbound_events.outcome_of(town.conn, CHANNEL, "key-2") is not None


def test_sessions_are_made_only_for_those_who_are_spoken_to(town: RouterStage) -> None:
    town.send(message(1, platform_id="double:elsewhere"))

    assert sessions.list_all(town.conn, 10) == []


class _CrowdedPeer:
    """A worker's connection that only keeps the answers."""

    name = CHANNEL

    def __init__(self) -> None:
        self.answers: dict[int, Frame] = {}

    def answer(self, request_id: int, body: Frame) -> None:
        self.answers[request_id] = body


def test_event_that_found_the_queue_full_is_not_overtaken_by_its_successor(
    town: RouterStage,
) -> None:
    crowded = _CrowdedPeer()
    peer = cast(Peer, crowded)
    for number in range(MAX_QUEUED):
        event = message(number, "x", platform_id="double:nobody", is_mention=False)
        town.loop.on_request(peer, number, Inbound(event))
    first, second = Inbound(message(10_001, "first")), Inbound(message(10_002, "second"))

    town.loop.on_request(peer, 10_001, first)
    town.spin(lambda: len(crowded.answers) > MAX_QUEUED)
    town.loop.on_request(peer, 10_002, second)
    town.loop.on_request(peer, 10_003, first)
    town.loop.on_request(peer, 10_004, second)
    town.spin(lambda: 10_004 in crowded.answers)

    assert [isinstance(crowded.answers[n], Refused) for n in range(10_001, 10_005)] == [
        True, True, False, False,
    ]  # fmt: skip
    texts = [row.content.split('"')[3] for row in town.rows_of()]
    assert texts == ["first", "second"]


def test_database_that_is_locked_while_rows_are_written_stops_nobody(town: RouterStage) -> None:
    town.send(message(1))
    with open_inbound(town.folder(town.session()).inbound_db):
        town.send(message(2))
    other = open_central(town.paths.central_db)
    town.conn.execute("PRAGMA busy_timeout=1")
    other.execute("BEGIN IMMEDIATE")

    town.loop.replay()

    other.execute("ROLLBACK")
    other.close()
    town.settle()
    assert len(town.rows_of()) == 2


def test_damaged_archive_of_a_closed_session_stops_that_session_only(town: RouterStage) -> None:
    town.send(message(1))
    session = town.session()
    folder = town.folder(session)
    archive.pack(folder.root)
    archive.remove_folder(folder.root)
    whole = archive.archive_of(folder.root).read_bytes()
    archive.archive_of(folder.root).write_bytes(whole[: len(whole) // 2])

    (answer,) = town.send(message(2))

    assert answer == Committed(Outcome.ROUTED)
    town.spin(lambda: town.session().quarantined_at)
    assert not folder.root.exists()
    town.loop.replay()


def test_archive_is_unpacked_while_the_router_goes_on(town: RouterStage) -> None:
    town.agent("ag-2", "Bea")
    town.wire(town.chat("double:other"), "ag-2")
    town.send(message(1, "one"))
    folder = town.folder(town.session())
    archive.pack(folder.root)
    archive.remove_folder(folder.root)

    town.loop.on_request(cast(Peer, _CrowdedPeer()), 1, Inbound(message(2, "two")))
    town.loop.tick()
    waiting = inbound_events.unrouted(town.conn, 9)
    town.send(message(3, "three"), message(4, platform_id="double:other"))
    town.settle()

    assert len(waiting) == 1
    texts = [row.content.split('"')[3] for row in town.rows_of()]
    assert texts == ["one", "two", "three"]
    assert len(town.rows_of("ag-2")) == 1
