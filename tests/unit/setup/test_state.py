"""The resume file's text."""

import pytest

from setup.state import SetupState, StepRecord, from_text, to_text


def test_what_is_written_is_read_again() -> None:
    record = StepRecord("success", "2026-01-01", {"a": "b"}, {"version": "1"})
    state = SetupState("2026", "", {"alpha": record}, {"name": "Ada"})

    assert from_text(to_text(state)) == state
    assert state.is_resumable


def test_a_later_version_is_refused_and_strange_entries_are_dropped() -> None:
    with pytest.raises(ValueError, match="version 9"):
        from_text('{"version":9}')
    assert from_text('{"version":1,"steps":{"a":7},"answers":{"n":1}}') == SetupState()
