"""A worker's connection to its platform, and what an adapter may ask of it."""

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_double import DoubleChannel, DoubleStage, Platform, failing, open_double
from helpers.channel_worker import deliver
from helpers.waiting import wait_until

from nanoclaw.capabilities import Capabilities
from nanoclaw.channels.failure import ChannelFailure, HostStoppingError
from nanoclaw.channels.part import Part
from nanoclaw.events import (
    Action,
    ActionOutcome,
    ActionResult,
    Committed,
    Conversation,
    Conversations,
    Delivered,
    DeliveryFailed,
    FailureClass,
    InboundEvent,
    Metadata,
    Ok,
    OpenDm,
    Outcome,
    Refused,
    ReplyTarget,
    Resolved,
    ResolveName,
    SetTyping,
    Subscribe,
    SyncConversations,
    Unsupported,
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[DoubleStage]:
    with open_double(tmp_path / "home") as opened:
        yield opened


def event(
    key: str, *, platform_id: str = "chat", answer_to: ReplyTarget | None = None
) -> InboundEvent:
    return InboundEvent(
        event_key=key,
        message_id=key,
        platform_id=platform_id,
        sender_id="u1",
        timestamp="2026-11-21T08:00:00.000Z",
        text=key,
        answer_to=answer_to,
    )


def test_a_cut_connection_is_made_again_and_messages_go_on(stage: DoubleStage) -> None:
    stage.platform.cut.set()

    wait_until(lambda: stage.platform.connections == 2, within=10)

    wait_until(stage.is_connected)
    assert stage.delivery.ask(deliver("one", "d1")) == Delivered(("p1",))
    state = stage.state()
    assert state is not None
    assert state.last_error == "the line was cut"


def test_a_conflict_is_shown_in_words(tmp_path: Path) -> None:
    platform = Platform(setup_failure=failing(FailureClass.CONFLICT, "another bot polls too"))
    with open_double(tmp_path / "home", platform, connected=False) as stage:

        def shown() -> bool:
            state = stage.state()
            return state is not None and state.state == "degraded"

        wait_until(shown)
        state = stage.state()
        assert state is not None
        assert state.last_error == "another bot polls too"
        assert state.next_attempt is not None


def test_an_error_of_the_platforms_code_counts_as_disconnected(tmp_path: Path) -> None:
    platform = Platform(setup_failure=RuntimeError("a secret"))
    with open_double(tmp_path / "home", platform, connected=False) as stage:
        wait_until(lambda: "internal error" in str(stage.state()))
        assert "a secret" not in str(stage.state())


def test_an_adapter_waits_until_its_event_is_committed(stage: DoubleStage) -> None:
    stage.router.outcome = Outcome.HELD

    assert stage.host.inbound(event("e1")) == Committed(Outcome.HELD)


def test_events_of_one_chat_keep_their_order_across_refusals(stage: DoubleStage) -> None:
    stage.router.refusing = True
    done: list[Committed] = []
    for number in range(100):
        stage.host.submit(event(f"e{number}"), done.append)
    wait_until(lambda: len(stage.router.received) >= 64)

    stage.router.refusing = False

    wait_until(lambda: len(done) == 100, within=10)
    assert stage.router.texts == [f"e{number}" for number in range(100)]


def test_at_most_64_events_of_a_chat_are_uncommitted_at_the_router(stage: DoubleStage) -> None:
    stage.router.silent = True
    for number in range(100):
        stage.host.submit(event(f"e{number}"), lambda _: None)
    stage.host.submit(event("other", platform_id="other"), lambda _: None)

    wait_until(lambda: len(stage.router.received) == 65)
    assert stage.router.received[-1].text == "other"


def test_an_adapter_is_held_back_at_256_uncommitted_events(stage: DoubleStage) -> None:
    stage.router.close()
    submitted: list[int] = []

    def flood() -> None:
        for number in range(300):
            stage.host.submit(event(f"e{number}"), lambda _: None)
            submitted.append(number)

    thread = threading.Thread(target=flood)
    thread.start()
    wait_until(lambda: len(submitted) == 256)
    stage.router.open()

    thread.join(10)
    assert len(submitted) == 300


def test_only_operator_transports_may_name_another_chat(stage: DoubleStage) -> None:
    with pytest.raises(ValueError, match="no operator transport"):
        stage.host.inbound(event("e1", answer_to=ReplyTarget("cli", "local")))


def test_an_adapter_that_waits_is_released_by_the_stop(tmp_path: Path) -> None:
    stopped: list[Exception] = []
    with open_double(tmp_path / "home") as stage:
        stage.router.silent = True
        host = stage.host

        def wait_for_commit() -> None:
            try:
                host.inbound(event("e1"))
            except HostStoppingError as error:
                stopped.append(error)

        thread = threading.Thread(target=wait_for_commit)
        thread.start()
        wait_until(lambda: stage.router.received)
    thread.join(10)

    assert len(stopped) == 1


def test_a_pressed_button_gets_the_routers_answer(stage: DoubleStage) -> None:
    stage.router.action_result = ActionResult(ActionOutcome.ACCEPTED, "Deploy?", "Yes", "Ada")
    results: list[ActionResult] = []

    stage.host.action(Action("a1", "q1", "0", "u1", "chat", "m1"), results.append)

    wait_until(lambda: results)
    assert results == [ActionResult(ActionOutcome.ACCEPTED, "Deploy?", "Yes", "Ada")]


def test_a_button_pressed_while_the_router_is_away_is_unknown(stage: DoubleStage) -> None:
    stage.router.close()
    results: list[ActionResult] = []

    stage.host.action(Action("a1", "q1", "0", "u1", "chat", "m1"), results.append)

    wait_until(lambda: results)
    assert results[0].outcome is ActionOutcome.UNKNOWN


def test_facts_are_sent_again_when_the_router_comes_back(stage: DoubleStage) -> None:
    stage.router.close()
    stage.host.metadata(Metadata("chat", name="Family"))

    stage.router.open()

    wait_until(lambda: stage.router.facts == [Metadata("chat", name="Family")], within=10)


def test_what_cannot_be_translated_is_kept_aside_and_counted(stage: DoubleStage) -> None:
    stage.host.reject(b'{"odd":true}', "no sender in\nthe payload")

    (kept,) = (stage.paths.channel("double") / "rejected").iterdir()
    assert kept.read_bytes() == b'no sender in the payload\n{"odd":true}'
    assert kept.stat().st_mode & 0o777 == 0o600

    def counted() -> bool:
        state = stage.state()
        return state is not None and state.rejected == 1

    wait_until(counted)


def test_what_the_platform_cannot_do_is_refused_in_words(stage: DoubleStage) -> None:
    assert stage.delivery.ask(ResolveName("c1")) == Refused("this channel cannot do that")


def test_t59_where_no_direct_chat_has_to_be_opened_the_handle_is_its_id(stage: DoubleStage) -> None:
    assert stage.delivery.ask(OpenDm("u1")) == Resolved("u1")


class TalentedChannel(DoubleChannel):
    """Offers everything that is not a message."""

    def open_dm(self, handle: str) -> str:
        if handle == "nobody":
            raise ChannelFailure(FailureClass.PERMANENT, "there is no such user")
        return f"dm-{handle}"

    def resolve_name(self, platform_id: str) -> str | None:
        return f"name of {platform_id}"

    def sync_conversations(self) -> list[Conversation]:
        return [Conversation("c1", "Family", is_group=True)]

    def subscribe(self, platform_id: str, thread_id: str) -> None:
        self.platform.sent.append((f"subscribed {thread_id}", Part(key="")))

    def set_typing(self, platform_id: str, thread_id: str | None) -> None:
        self.platform.sent.append((f"typing in {platform_id}", Part(key="")))
        raise RuntimeError("typing must never disturb anything")


def test_t59_what_the_platform_can_do_is_answered(tmp_path: Path) -> None:
    capabilities = Capabilities(typing=True)
    with open_double(
        tmp_path / "home", capabilities=capabilities, adapter_class=TalentedChannel
    ) as stage:
        answers = [
            stage.delivery.ask(frame)
            for frame in (
                OpenDm("u1"),
                OpenDm("nobody"),
                ResolveName("c1"),
                SyncConversations(),
                Subscribe("c1", "t1"),
            )
        ]
        stage.delivery.notify(SetTyping("c1"))
        stage.delivery.notify(SetTyping("c1", active=False))

        assert answers == [
            Resolved("dm-u1"),
            Refused("permanent: there is no such user"),
            Resolved("name of c1"),
            Conversations((Conversation("c1", "Family", is_group=True),)),
            Ok(),
        ]
        wait_until(lambda: len(stage.platform.sent) == 2)
        assert [what for what, _ in stage.platform.sent] == ["subscribed t1", "typing in c1"]
        assert stage.delivery.ask(deliver("one", "d1")) == Delivered(("p3",))


def test_a_request_that_no_worker_knows_is_unsupported(stage: DoubleStage) -> None:
    assert stage.delivery.ask(Metadata("chat")) == Unsupported("Metadata")


def test_after_the_stop_began_new_messages_are_sent_back(tmp_path: Path) -> None:
    platform = Platform()
    with open_double(tmp_path / "home", platform) as stage:
        platform.gate.clear()
        stage.delivery.start(deliver("one", "d1"))
        wait_until(lambda: platform.calls)
        stage.begin_stop()

        answer = stage.delivery.ask(deliver("two", "d2", platform_id="other"))

        assert isinstance(answer, DeliveryFailed)
        assert answer.failure is FailureClass.OFFLINE
        with pytest.raises(HostStoppingError):
            stage.host.submit(event("e1"), lambda _: None)


def test_the_failure_keeps_its_class_across_processes() -> None:
    failure = ChannelFailure(FailureClass.RATE_LIMITED, "slow down", 1500)

    copy = pickle.loads(pickle.dumps(failure))

    assert (copy.failure, copy.retry_after_ms) == (FailureClass.RATE_LIMITED, 1500)
