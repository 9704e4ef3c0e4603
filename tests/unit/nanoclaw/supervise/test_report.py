import os

import pytest

from nanoclaw.supervise.report import (
    MAX_TEXT,
    Note,
    Ready,
    Reason,
    Report,
    ReportReader,
    dump_report,
    parse_report,
    write_report,
)

PIPE_BUF_BYTES = 4096


@pytest.mark.parametrize(
    "report", [Ready(), Reason("the key is missing"), Note("watch", "polling"), Reason("ü\n\0")]
)
def test_report_survives_the_pipe(report: Report) -> None:
    line = dump_report(report)

    assert line.count(b"\n") == 1
    assert parse_report(line) == report


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff", b"[]", b"1", b"{}", b'{"t":"note","key":1}', b'{"t":"reason"}', b"[" * 100_000],
)
def test_nonsense_is_no_report(line: bytes) -> None:
    assert parse_report(line) is None


@pytest.mark.parametrize("character", ["x", "\0", "\U0001f980", "\ud800"])
def test_longest_report_is_written_in_one_piece(character: str) -> None:
    longest = Note(character * 10_000, character * 10_000)

    line = dump_report(longest)

    assert len(line) > MAX_TEXT
    assert len(line) <= PIPE_BUF_BYTES


def test_reader_returns_whole_lines_and_notices_the_end() -> None:
    read_end, write_end = os.pipe()
    reader = ReportReader(read_end)

    assert reader.read() == ([], True)
    os.write(write_end, dump_report(Ready()) + dump_report(Note("watch", "polling"))[:10])
    assert reader.read() == ([Ready()], True)
    os.write(write_end, dump_report(Note("watch", "polling"))[10:] + b"garbage\n")
    assert reader.read() == ([Note("watch", "polling")], True)
    os.close(write_end)
    assert reader.read() == ([], False)
    os.close(read_end)


def test_writer_survives_a_reader_that_is_gone() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    write_report(write_end, Ready())

    os.close(write_end)
