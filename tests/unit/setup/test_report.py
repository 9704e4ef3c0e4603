"""Durations, log names, masks, rotation (scenarios 68, 69, 71)."""

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from setup.report import (
    KEPT_RUNS,
    Entry,
    Mask,
    RawLog,
    Report,
    duration_text,
    elapsed_text,
    masked,
    raw_log_name,
    without_controls,
)

SECRET = 'to"ken/with spécial+letters'


@pytest.mark.parametrize(
    ("seconds", "duration", "elapsed"),
    [(0.999, "999ms", "0s"), (1, "1.0s", "1s"), (59.6, "59.6s", "59s"), (60, "60.0s", "1m 0s"),
     (0.9999, "1.0s", "0s"), (125, "125.0s", "2m 5s")],
)  # fmt: skip
def test_durations(seconds: float, duration: str, elapsed: str) -> None:
    assert (duration_text(seconds), elapsed_text(seconds)) == (duration, elapsed)


@pytest.mark.parametrize(
    ("present", "step", "name"),
    [([], "alpha", "01-alpha.log"), (["01-a.log", "02-b.log", "x"], "C d/é", "03-c-d--.log"),
     ([f"{n}-x.log" for n in range(99)], "z", "100-z.log")],
)  # fmt: skip
def test_raw_logs_are_numbered_and_named_safely(present: list[str], step: str, name: str) -> None:
    assert raw_log_name(present, step) == name


def test_a_short_secret_shows_nothing_and_a_long_one_its_ends() -> None:
    assert masked("hunter2-hunter2") == "…"
    assert masked("abcdefghijklmnopqrstuvwxyz") == "abcd…wxyz"


@given(some.lists(some.integers(1, 40), max_size=6))
@settings(deadline=None, max_examples=40)
def test_a_secret_in_pieces_and_other_spellings_is_hidden(cuts: list[int]) -> None:
    import tempfile

    mask = Mask()
    mask.add(SECRET)
    coded = base64.b64encode(SECRET.encode()).decode()
    text = f"one {SECRET} two {coded}\nthree {SECRET}"
    with tempfile.TemporaryDirectory() as folder:
        raw = RawLog(Path(folder) / "raw.log", "x", mask)
        for cut in cuts:
            raw.write(text[:cut])
            text = text[cut:]
        raw.write(text)
        raw.close()
        kept = raw.file.read_text()

    assert SECRET not in kept
    assert coded not in kept


def test_escape_sequences_of_other_programs_are_removed() -> None:
    assert without_controls("\x1b[31mred\x1b[0m \x1b]0;title\x07x\ty\r") == "red x y"


def test_entries_leave_out_long_and_empty_fields(tmp_path: Path) -> None:
    report = Report(tmp_path, Mask())
    report.begin({"version": "1"}, fresh=True)
    fields = {"URL": "here", "EMPTY": "", "LONG": "x" * 121, "STATUS": "success", "LOG": "y"}
    report.step(Entry("alpha", "success", "2026-01-01T00:00:00.000Z", 1.25, fields))
    text = report.log_file.read_text()

    assert "=== [2026-01-01T00:00:00.000Z] alpha [1.2s] → success ===\n  url: here\n\n" in text
    assert report.log_file.stat().st_mode & 0o777 == 0o600


def test_five_earlier_runs_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_RUNS + 3):
        report = Report(tmp_path, Mask())
        report.begin({"run": str(number)}, fresh=True)
        report.open_raw("alpha").close()

    assert "run: 7" in (tmp_path / "setup.log").read_text()
    assert "run: 2" in (tmp_path / f"setup.log.{KEPT_RUNS}").read_text()
    assert len(list(tmp_path.glob("setup.log*"))) == KEPT_RUNS + 1
    assert len(list(tmp_path.glob("setup-steps*"))) == KEPT_RUNS + 1
