"""Tests for ``nanoclaw.process.heap``."""

from nanoclaw.process.heap import MOST_BYTES, SIZES, fill_gaps


def test_gaps_that_are_taken_are_not_found_again() -> None:
    gaps = [bytes(5000) for _ in range(400)]
    del gaps[::2]

    fill_gaps()

    assert fill_gaps() < 100 * 1024


def test_what_is_taken_has_a_bound() -> None:
    assert fill_gaps() < MOST_BYTES + max(SIZES)
