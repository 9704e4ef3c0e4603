import pickle

import pytest

from contract.errors import (
    BadContent,
    ContractError,
    RefusalReason,
    SchemaMismatch,
    SessionFileBusy,
    SessionFileCorrupt,
    SessionFileMissing,
    SnapshotBusy,
    SnapshotMissing,
    SnapshotRefused,
)

EVERY_ERROR = [
    BadContent("not JSON"),
    SchemaMismatch("/x/inbound.db", 7, 1),
    SessionFileBusy("/x/inbound.db", "SQLITE_BUSY"),
    SessionFileCorrupt("/x/inbound.db", "SQLITE_NOTADB"),
    SessionFileMissing("/x/inbound.db", "no such file"),
    SnapshotBusy("a writer is committing"),
    SnapshotMissing("outbound.db"),
    SnapshotRefused(RefusalReason.LINKED, "2 links"),
    SnapshotRefused(RefusalReason.CORRUPT),
]


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_errors_survive_the_way_between_processes(error: ContractError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_only_passing_trouble_is_retryable() -> None:
    assert [type(error) for error in EVERY_ERROR if error.retryable] == [
        SessionFileBusy,
        SnapshotBusy,
    ]


def test_a_version_mismatch_names_both_numbers() -> None:
    text = str(SchemaMismatch("/x/inbound.db", 7, 1))

    assert "7" in text
    assert "1" in text
    assert "/x/inbound.db" in text
