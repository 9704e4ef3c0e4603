import pytest
from helpers.claude_memory_build import assistant, results, user

from runner.providers.claude.capabilities import UNKNOWN, Capabilities
from runner.providers.claude.estimate import (
    Budget,
    Moment,
    compaction_threshold,
    estimate_block,
    estimate_message,
    should_compact,
    used_tokens,
)


def test_text_is_counted_by_its_length_and_media_by_their_kind() -> None:
    assert estimate_message(user("x" * 35)) == 10
    assert estimate_block({"type": "image", "source": {"data": "x" * 1_000_000}}) == 1600
    pdf = {"type": "document", "source": {"type": "base64", "data": "x" * 400_000}}
    assert estimate_block(pdf) == 15_000


def test_image_in_a_tool_result_is_not_counted_by_its_bytes() -> None:
    block = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "image", "source": {"data": "x" * 1_000_000}}],
    }

    assert estimate_block(block) == 1600


def test_calls_and_thinking_count_as_well() -> None:
    assert estimate_message(assistant("", ["t1"])) > 10
    assert estimate_message(assistant("", thinking="x" * 350)) > 100
    assert estimate_message(results("t1")) > 3


def test_used_is_all_input_and_the_output_of_the_last_call() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 100,
        "output_tokens": 1000,
    }

    assert used_tokens(usage) == 1111
    assert used_tokens({"input_tokens": 5, "cache_read_input_tokens": None}) == 5


def test_of_a_server_tool_loop_the_last_sampling_counts() -> None:
    usage = {
        "input_tokens": 300,
        "output_tokens": 30,
        "iterations": [
            {"type": "message", "input_tokens": 100, "output_tokens": 10},
            {"type": "message", "input_tokens": 200, "output_tokens": 20},
            {"type": "compaction", "input_tokens": 9, "output_tokens": 9},
        ],
    }

    assert used_tokens(usage) == 220


@pytest.mark.parametrize(
    ("context", "max_tokens", "window", "expected"),
    [
        (1_000_000, 32_000, None, 165_000),
        (1_000_000, 32_000, "400000", 400_000),
        (1_000_000, 32_000, "rubbish", 165_000),
        (1_000_000, 32_000, "0", 165_000),
        (1_000_000, 32_000, "²", 165_000),
        (200_000, 32_000, None, 138_000),
        (200_000, 8_192, "999999999", 161_808),
        (8_192, 8_192, None, 8_000),
    ],
)
def test_threshold_follows_the_setting_and_the_model(
    context: int, max_tokens: int, window: str | None, expected: int
) -> None:
    capabilities = Capabilities(context_tokens=context)

    assert compaction_threshold(capabilities, max_tokens, window) == expected


def test_unknown_model_has_room_for_a_conversation() -> None:
    assert compaction_threshold(UNKNOWN, 8_192) == 161_808


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(90, 10, 100, Moment.BEFORE_REQUEST), False),
        (Budget(90, 11, 100, Moment.BEFORE_REQUEST), True),
        (Budget(500, 0, 100, Moment.BEFORE_REQUEST, open_calls=True), False),
        (Budget(80, 0, 100, Moment.TURN_ENDED), False),
        (Budget(81, 0, 100, Moment.TURN_ENDED), True),
        (Budget(81, 0, 100, Moment.TURN_ENDED, input_waiting=True), False),
    ],
)
def test_when_to_compact(budget: Budget, expected: bool) -> None:
    assert should_compact(budget) is expected
