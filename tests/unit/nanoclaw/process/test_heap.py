"""Tests for ``nanoclaw.process.heap``.

Each runs in a fresh program, as in the product: after other tests the heap of this one has more
gaps than the bound lets be taken.
"""

import subprocess
import sys

from nanoclaw.process.heap import MOST_BYTES, SIZES

TWO_FILLS = """
from nanoclaw.process.heap import fill_gaps
gaps = [bytes(5000) for _ in range(400)]
del gaps[::2]
print(fill_gaps(), fill_gaps())
"""
MANY_GAPS = """
from nanoclaw.process.heap import fill_gaps
gaps = [bytes(5000) for _ in range(4000)]
del gaps[::2]
print(fill_gaps())
"""


def numbers_printed_by(program: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_gaps_that_are_taken_are_not_found_again() -> None:
    first, second = numbers_printed_by(TWO_FILLS)

    assert first > 200 * 5000
    assert second < 100 * 1024


def test_what_is_taken_has_a_bound() -> None:
    (taken,) = numbers_printed_by(MANY_GAPS)

    assert MOST_BYTES <= taken < MOST_BYTES + max(SIZES)
