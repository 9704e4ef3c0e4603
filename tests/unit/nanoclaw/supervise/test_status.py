from pathlib import Path

import pytest

from nanoclaw.supervise.status import ChildStatus, HostStatus, read_status, write_status

STATUS = HostStatus(
    version="1.2.3",
    pid=12,
    state="running",
    started_at="2026-11-21T08:00:00.000Z",
    updated_at="2026-11-21T08:00:01.000Z",
    children=(
        ChildStatus("router", True, "running", 13, "2026-11-21T08:00:00.000Z"),
        ChildStatus("channel:x", True, "fatal", reason="no key", notes={"watch": "polling"}),
    ),
)


def test_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "status.json"

    write_status(file, STATUS)

    assert read_status(file) == STATUS
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_child_is_found_by_its_name() -> None:
    child = STATUS.child("channel:x")

    assert child is not None
    assert child.reason == "no key"
    assert STATUS.child("nobody") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"pid":"x"}',
        b'{"children":[1]}',
        b'{"version":1}',
        b"[" * 99999,
    ],
)
def test_senseless_file_is_no_status(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "status.json"
    file.write_bytes(content)

    assert read_status(file) is None


def test_missing_file_is_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status.json") is None


def test_unknown_fields_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text('{"pid": 1, "new": 2, "children": [{"name": "x", "mood": "good"}]}')

    status = read_status(file)

    assert status is not None
    assert status.children == (ChildStatus("x", wanted=False, state=""),)
