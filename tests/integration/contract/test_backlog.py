"""More waiting messages than one prompt takes: oldest first, none left behind (T-75, W-24)."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.inbound.reader import read_pending
from contract.inbound.row import AckStatus, NewInbound
from contract.inbound.select import PendingQuery
from contract.inbound.writer import create_inbound, open_inbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LIMIT = 10


@pytest.mark.parametrize("synced", [False, True], ids=["host lags", "host keeps up"])
def test_t75_more_than_ten_waiting_messages_are_all_processed_in_order(
    tmp_path: Path, synced: bool
) -> None:
    path = tmp_path / "inbound.db"
    create_inbound(path)
    names = [f"m{number:02}" for number in range(25)]
    with open_inbound(path) as writer:
        for name in names:
            writer.insert_message(NewInbound(name, "chat", NOW, '{"text":"x"}'))
    acked: dict[str, AckStatus] = {}
    rounds: list[list[str]] = []

    while True:
        batch = read_pending(path, PendingQuery(now=NOW, limit=LIMIT, acked_ids=acked.keys()))
        if not batch.rows:
            break
        rounds.append([row.id for row in batch.rows])
        acked |= dict.fromkeys(rounds[-1], AckStatus.COMPLETED)
        if synced:
            with open_inbound(path) as writer:
                writer.sync_acks(acked)

    assert [len(round_) for round_ in rounds] == [10, 10, 5]
    assert [name for round_ in rounds for name in round_] == names
