"""How a worker sends: outcomes, order, retries and crashes, with a platform of the test's own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.channel_double import DoubleStage, Platform, failing, open_double
from helpers.channel_worker import deliver
from helpers.waiting import wait_until

from nanoclaw.capabilities import Capabilities, IdempotentSend, UncertainPolicy
from nanoclaw.channels.adapter import NotSent, Sent
from nanoclaw.channels.failure import ChannelFailure, RateScope
from nanoclaw.events import Deliver, Delivered, DeliveryFailed, FailureClass
from nanoclaw.link import Answer

LOOKUP = Capabilities(idempotent_send=IdempotentSend.LOOKUP)
HOLDING = Capabilities(idempotent_send=IdempotentSend.LOOKUP, uncertain_policy=UncertainPolicy.HOLD)
KEYED = Capabilities(idempotent_send=IdempotentSend.KEY)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[DoubleStage]:
    with open_double(tmp_path / "home") as opened:
        yield opened


def failure_of(answer: Answer) -> FailureClass:
    assert isinstance(answer, DeliveryFailed)
    return answer.failure


def test_the_platforms_ids_are_reported(stage: DoubleStage) -> None:
    assert stage.delivery.ask(deliver("one", "d1", platform_id="chat")) == Delivered(("p1",))
    assert stage.platform.sent[0][0] == "chat"


@pytest.mark.parametrize(
    "failure",
    [
        FailureClass.OFFLINE,
        FailureClass.TRANSIENT,
        FailureClass.PERMANENT,
        FailureClass.AUTH,
        FailureClass.CONFLICT,
    ],
)
def test_a_failure_is_passed_on_and_the_next_attempt_sends(
    stage: DoubleStage, failure: FailureClass
) -> None:
    stage.platform.failures = [failing(failure)]

    first = stage.delivery.ask(deliver("one", "d1"))
    second = stage.delivery.ask(deliver("one", "d1", attempt=2))

    assert failure_of(first) is failure
    assert second == Delivered(("p1",))


def test_an_error_that_nobody_foresaw_does_not_end_the_worker(stage: DoubleStage) -> None:
    stage.platform.failures = [ZeroDivisionError("oops")]

    first = stage.delivery.ask(deliver("one", "d1"))

    assert isinstance(first, DeliveryFailed)
    assert "oops" not in first.detail
    assert stage.delivery.ask(deliver("one", "d1")) == Delivered(("p1",))


def test_a_hint_when_to_try_again_reaches_the_host(stage: DoubleStage) -> None:
    stage.platform.failures = [ChannelFailure(FailureClass.RATE_LIMITED, "slow down", 1500)]

    answer = stage.delivery.ask(deliver("one", "d1"))

    assert isinstance(answer, DeliveryFailed)
    assert (answer.failure, answer.retry_after_ms) == (FailureClass.RATE_LIMITED, 1500)


def test_a_limit_of_the_account_holds_back_every_chat(stage: DoubleStage) -> None:
    limit = ChannelFailure(FailureClass.RATE_LIMITED, "slow down", 60_000, RateScope.ACCOUNT)
    stage.platform.failures = [limit]
    stage.delivery.ask(deliver("one", "d1", platform_id="a"))

    answer = stage.delivery.ask(deliver("two", "d2", platform_id="b"))

    assert failure_of(answer) is FailureClass.RATE_LIMITED
    assert stage.platform.calls == 1


def test_behind_a_failed_message_nothing_of_its_chat_is_sent(stage: DoubleStage) -> None:
    stage.platform.gate.clear()
    stage.platform.failures = [failing(FailureClass.TRANSIENT)]
    answers = stage.delivery.start(
        *(deliver(name, name, platform_id="a") for name in ("d1", "d2", "d3"))
    )
    wait_until(lambda: stage.platform.calls)
    stage.platform.gate.set()
    wait_until(lambda: len(answers) == 3)

    assert [failure_of(answer) for answer in answers] == [
        FailureClass.TRANSIENT,
        FailureClass.RATE_LIMITED,
        FailureClass.RATE_LIMITED,
    ]
    assert stage.platform.calls == 1


def test_a_message_refused_for_good_does_not_hold_back_the_next(stage: DoubleStage) -> None:
    stage.platform.failures = [failing(FailureClass.PERMANENT)]

    answers = stage.delivery.ask_all(deliver("one", "d1"), deliver("two", "d2"))

    assert failure_of(answers[0]) is FailureClass.PERMANENT
    assert answers[1] == Delivered(("p1",))


def test_one_call_per_chat_at_a_time_and_four_chats_in_parallel(stage: DoubleStage) -> None:
    stage.platform.gate.clear()
    frames = [
        deliver(f"{chat}{number}", f"{chat}{number}", platform_id=chat)
        for chat in "abcde"
        for number in range(3)
    ]

    answers = stage.delivery.start(*frames)
    wait_until(lambda: stage.platform.calls == 4)
    stage.platform.gate.set()
    wait_until(lambda: len(answers) == 15)

    for chat in "abcde":
        own = [part.text for where, part in stage.platform.sent if where == chat]
        assert own == [f"{chat}0", f"{chat}1", f"{chat}2"]


def test_refused_markup_is_sent_once_as_plain_text(stage: DoubleStage) -> None:
    stage.platform.failures = [failing(FailureClass.BAD_FORMAT)]

    assert stage.delivery.ask(deliver("*one*", "d1")) == Delivered(("p1",))

    assert [part.unformatted for _, part in stage.platform.sent] == [True]


def test_markup_refused_twice_is_a_permanent_failure(stage: DoubleStage) -> None:
    stage.platform.failures = [failing(FailureClass.BAD_FORMAT), failing(FailureClass.BAD_FORMAT)]

    assert failure_of(stage.delivery.ask(deliver("*one*", "d1"))) is FailureClass.PERMANENT


def test_a_message_that_is_too_large_is_halved(stage: DoubleStage) -> None:
    stage.platform.failures = [failing(FailureClass.TOO_LARGE)]

    answer = stage.delivery.ask(deliver("aaaa bbbb cccc dddd", "d1"))

    assert answer == Delivered(("p1", "p2"))
    assert " ".join(stage.platform.texts) == "aaaa bbbb cccc dddd"


def test_a_message_too_large_even_in_pieces_is_a_permanent_failure(stage: DoubleStage) -> None:
    stage.platform.failures = [failing(FailureClass.TOO_LARGE) for _ in range(3)]

    answer = stage.delivery.ask(deliver("x" * 1000, "d1"))

    assert failure_of(answer) is FailureClass.PERMANENT
    assert stage.platform.calls == 3


def test_parts_that_arrived_are_not_sent_again_after_a_failure(tmp_path: Path) -> None:
    platform = Platform(failures=[None, failing(FailureClass.TRANSIENT)])
    small = Capabilities(text_limit=11)
    with open_double(tmp_path / "home", platform, small) as stage:
        first = stage.delivery.ask(deliver("first part second part", "d1"))

    with open_double(tmp_path / "home", platform, small) as stage:
        second = stage.delivery.ask(deliver("first part second part", "d1", attempt=2))

    assert isinstance(first, DeliveryFailed)
    assert first.parts_done == 1
    assert second == Delivered(("p1", "p2"))
    assert platform.texts == ["first part", "second part"]


def test_the_recorded_parts_are_sent_even_if_the_text_would_be_cut_otherwise(
    tmp_path: Path,
) -> None:
    platform = Platform()
    platform.failures = [failing(FailureClass.TRANSIENT)]
    with open_double(tmp_path / "home", platform, Capabilities(text_limit=10)) as stage:
        stage.delivery.ask(deliver("first part second one", "d1"))

    with open_double(tmp_path / "home", platform, Capabilities(text_limit=1000)) as stage:
        stage.delivery.ask(deliver("first part second one", "d1", attempt=2))

    assert platform.texts == ["first part", "second one"]


@pytest.mark.parametrize(
    ("capabilities", "expected", "calls"),
    [
        pytest.param(Capabilities(), FailureClass.TRANSIENT, 2, id="repeat"),
        pytest.param(KEYED, FailureClass.TRANSIENT, 2, id="key"),
        pytest.param(LOOKUP, FailureClass.TRANSIENT, 2, id="lookup"),
        pytest.param(HOLDING, FailureClass.UNCERTAIN, 1, id="hold"),
    ],
)
def test_a_lost_answer_follows_what_the_platform_can_do(
    tmp_path: Path, capabilities: Capabilities, expected: FailureClass, calls: int
) -> None:
    platform = Platform(failures=[failing(FailureClass.UNCERTAIN)])
    with open_double(tmp_path / "home", platform, capabilities) as stage:
        first = stage.delivery.ask(deliver("one", "d1"))
        stage.delivery.ask(deliver("one", "d1", attempt=2))

        assert failure_of(first) is expected
        assert platform.calls == calls


@pytest.mark.parametrize(
    ("capabilities", "policy", "expected"),
    [
        (Capabilities(), UncertainPolicy.HOLD, FailureClass.UNCERTAIN),
        (HOLDING, UncertainPolicy.REPEAT, FailureClass.TRANSIENT),
        (HOLDING, None, FailureClass.UNCERTAIN),
        (KEYED, UncertainPolicy.HOLD, FailureClass.TRANSIENT),
    ],
)
def test_policy_of_the_wiring_stands_before_that_of_the_channel(
    tmp_path: Path,
    capabilities: Capabilities,
    policy: UncertainPolicy | None,
    expected: FailureClass,
) -> None:
    platform = Platform(failures=[failing(FailureClass.UNCERTAIN)])
    with open_double(tmp_path / "home", platform, capabilities) as stage:
        frame = replace(deliver("one", "d1"), uncertain_policy=policy)

        assert failure_of(stage.delivery.ask(frame)) is expected


def test_a_message_found_on_the_platform_is_not_sent_again(tmp_path: Path) -> None:
    platform = Platform(failures=[failing(FailureClass.UNCERTAIN)], find_answer=Sent("p77"))
    with open_double(tmp_path / "home", platform, LOOKUP) as stage:
        stage.delivery.ask(deliver("one", "d1"))

        assert stage.delivery.ask(deliver("one", "d1", attempt=2)) == Delivered(("p77",))
        assert platform.calls == 1


def test_a_message_not_found_on_the_platform_is_sent_also_where_the_policy_is_to_hold(
    tmp_path: Path,
) -> None:
    platform = Platform(failures=[failing(FailureClass.UNCERTAIN)], find_answer=NotSent())
    with open_double(tmp_path / "home", platform, HOLDING) as stage:
        stage.delivery.ask(deliver("one", "d1"))

        assert stage.delivery.ask(deliver("one", "d1", attempt=2)) == Delivered(("p1",))


def test_a_doubtful_part_is_looked_up_after_a_restart(tmp_path: Path) -> None:
    platform = Platform(failures=[failing(FailureClass.UNCERTAIN)], find_answer=Sent("p77"))
    with open_double(tmp_path / "home", platform, LOOKUP) as stage:
        stage.delivery.ask(deliver("one", "d1"))

    with open_double(tmp_path / "home", platform, LOOKUP) as stage:
        assert stage.delivery.ask(deliver("one", "d1", attempt=2)) == Delivered(("p77",))


def test_every_attempt_carries_the_same_key(tmp_path: Path) -> None:
    keys: list[str] = []
    platform = Platform()
    for _ in range(2):
        with open_double(tmp_path / "home", platform, KEYED) as stage:
            stage.delivery.ask(deliver("one", "d1"))
            keys += [part.key for _, part in platform.sent]
        (tmp_path / "home/data/channels/double/sends.jsonl").unlink()

    assert len(set(keys)) == 1
    assert len(keys[0]) == 24


def test_edits_and_reactions_need_the_capability(stage: DoubleStage) -> None:
    edit = chat('{"operation":"edit","messageId":"p1","text":"new"}', "d1")
    reaction = chat('{"operation":"reaction","messageId":"p1","emoji":"heart"}', "d2")

    answers = stage.delivery.ask_all(edit, reaction)

    assert [failure_of(answer) for answer in answers] == [FailureClass.PERMANENT] * 2


def test_edits_and_reactions_take_their_turn_in_the_chat(tmp_path: Path) -> None:
    with open_double(
        tmp_path / "home", capabilities=Capabilities(edits=True, reactions=True)
    ) as stage:
        stage.delivery.ask_all(
            deliver("one", "d1"),
            chat('{"operation":"edit","messageId":"p1","text":"new"}', "d2"),
            chat('{"operation":"reaction","messageId":"p1","emoji":"heart"}', "d3"),
        )

        assert [where for where, _ in stage.platform.sent] == ["local", "edit p1", "react p1 heart"]


def test_a_content_that_cannot_be_read_is_a_permanent_failure(stage: DoubleStage) -> None:
    answer = stage.delivery.ask(chat("no json", "d1"))

    assert failure_of(answer) is FailureClass.PERMANENT
    assert stage.platform.calls == 0


def test_messages_wait_a_moment_for_the_connection(tmp_path: Path) -> None:
    platform = Platform(setup_failure=failing(FailureClass.OFFLINE))
    with open_double(tmp_path / "home", platform, connected=False) as stage:
        answers = stage.delivery.start(deliver("one", "d1"))
        platform.setup_failure = None

        wait_until(lambda: answers, within=10)
        assert answers == [Delivered(("p1",))]


def test_without_a_connection_messages_go_back_without_an_attempt(tmp_path: Path) -> None:
    platform = Platform(setup_failure=failing(FailureClass.AUTH, "the token was revoked"))
    with open_double(tmp_path / "home", platform, connected=False) as stage:
        answer = stage.delivery.ask(deliver("one", "d1"))

        assert isinstance(answer, DeliveryFailed)
        assert (answer.failure, answer.detail) == (FailureClass.AUTH, "the token was revoked")
        state = stage.state()
        assert state is not None
        assert (state.state, state.last_error) == ("auth_failed", "the token was revoked")


def test_a_stop_waits_for_the_call_under_way_and_records_it(tmp_path: Path) -> None:
    platform = Platform()
    with open_double(tmp_path / "home", platform) as stage:
        platform.gate.clear()
        stage.delivery.start(deliver("one", "d1"))
        wait_until(lambda: platform.calls)

    with open_double(tmp_path / "home", platform) as stage:
        assert stage.delivery.ask(deliver("one", "d1", attempt=2)) == Delivered(("p1",))

    assert platform.calls == 1


def test_pacing_of_the_platform_is_obeyed(tmp_path: Path) -> None:
    paced = Capabilities(idempotent_send=IdempotentSend.KEY, min_interval_ms=30)
    with open_double(tmp_path / "home", capabilities=paced) as stage:
        answers = stage.delivery.ask_all(*(deliver(f"{n}", f"d{n}") for n in range(4)))

        assert all(isinstance(answer, Delivered) for answer in answers)
        assert stage.platform.texts == ["0", "1", "2", "3"]


def chat(content: str, delivery_id: str) -> Deliver:
    return replace(deliver("", delivery_id), content=content)
