import logging
from dataclasses import dataclass, replace

import pytest

from runner.providers.claude.cachewatch import LIFE_SECONDS, CacheWatch, part_hashes
from runner.providers.claude.epoch import Prefix

PREFIX = Prefix("claude-x", None, None, ({"type": "text", "text": "one"},), ("harness",), ())
WROTE = {"cache_creation_input_tokens": 900}
READ = {"cache_read_input_tokens": 900}
NEITHER = {"input_tokens": 900}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def warned(caplog: pytest.LogCaptureFixture, *answers: dict[str, int], pause: float = 1.0) -> int:
    clock = Clock()
    watch = CacheWatch(clock)
    with caplog.at_level(logging.WARNING):
        for usage in answers:
            watch.note(PREFIX, usage)
            clock.now += pause
    return len(caplog.records)


def test_second_request_that_finds_nothing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, WROTE, WROTE) == 1


@pytest.mark.parametrize("answers", [(WROTE,), (WROTE, READ), (NEITHER, WROTE), (READ, READ)])
def test_requests_in_order_are_no_news(
    caplog: pytest.LogCaptureFixture, answers: tuple[dict[str, int], ...]
) -> None:
    assert warned(caplog, *answers) == 0


def test_entry_that_has_run_out_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, WROTE, WROTE, pause=LIFE_SECONDS) == 0


def test_other_model_and_shortened_list_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    watch = CacheWatch(Clock())
    with caplog.at_level(logging.WARNING):
        watch.note(PREFIX, WROTE)
        watch.note(replace(PREFIX, model="claude-y"), WROTE)
        watch.forget()
        watch.note(replace(PREFIX, model="claude-y"), WROTE)

    assert not caplog.records


def test_hashes_tell_which_part_has_changed() -> None:
    other = replace(PREFIX, tools=({"name": "bash"},))

    before, after = part_hashes(PREFIX).split(), part_hashes(other).split()

    assert before[0] == after[0]
    assert before[1] != after[1]
