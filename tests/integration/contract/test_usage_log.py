"""The runner's own table of model calls: sums and what is kept of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.outbound.reader import read_outbound
from contract.outbound.row import UsageEntry, UsageTotal
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)


def entry(at: datetime, conversation: str = "nc1-a", cost: float | None = 0.5) -> UsageEntry:
    return UsageEntry(
        at=at,
        conversation=conversation,
        turn="t",
        kind="main",
        model="m",
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_5m_tokens=4,
        cache_write_1h_tokens=5,
        web_searches=6,
        cost_usd=cost,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outbound.db"
    with open_outbound(path) as out:
        out.log_usage(entry(NOW - timedelta(days=91)))
        out.log_usage(entry(NOW - timedelta(days=1)))
        out.log_usage(entry(NOW, conversation="nc1-b"))
        out.log_usage(entry(NOW, cost=None))
    return path


def test_sums_since_a_moment(file: Path) -> None:
    with read_outbound(file) as out:
        total = out.usage_since(NOW)

    assert total == UsageTotal(
        calls=2,
        input_tokens=2,
        output_tokens=4,
        cache_read_tokens=6,
        cache_write_tokens=18,
        web_searches=12,
        cost_usd=0.5,
        unpriced=1,
    )


def test_sums_of_one_conversation(file: Path) -> None:
    with read_outbound(file) as out:
        total = out.usage_since(None, "nc1-a")
        nothing = out.usage_since(None, "nc1-c")

    assert (total.calls, total.cost_usd, total.unpriced) == (3, 1.0, 1)
    assert nothing == UsageTotal()


def test_old_rows_go(file: Path) -> None:
    with open_outbound(file) as out:
        gone = out.prune_usage(NOW)
        left = out.usage_since(None)

    assert (gone, left.calls) == (1, 3)


def test_number_of_rows_is_bounded(file: Path) -> None:
    with open_outbound(file) as out:
        gone = out.prune_usage(NOW - timedelta(days=900), keep_newest=2)
        left = out.usage_since(None)

    assert (gone, left.calls) == (2, 2)
    assert left.unpriced == 1


def test_empty_table_needs_no_pruning(tmp_path: Path) -> None:
    with open_outbound(tmp_path / "outbound.db") as out:
        assert out.prune_usage(NOW) == 0
        assert out.usage_since(None) == UsageTotal()
